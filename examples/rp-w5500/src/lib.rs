//! What the two images of this package share: `uptime-post`, which is the one to read, and
//! `http-plain`, the same without the tunnel.
#![no_std]

use core::convert::Infallible;
use core::fmt::Display;
use core::ops::ControlFlow;

use defmt::{Display2Format, error, info};
use defmt_rtt as _;
use embassy_net::Stack;
use embassy_time::Duration;
use panic_probe as _;

pub mod board;

/// Posts by HTTP, every half minute, how long the board has been up.
pub async fn post_uptime(network: Stack<'static>) -> ! {
    let end = uptime::post_uptime_over(network, uptime::URL, Duration::from_secs(30), |outcome| {
        info!("{}", Display2Format(&outcome));
        ControlFlow::<Infallible>::Continue(())
    });
    match end.await {}
}

/// What is there; or else a line that says why not, and a board that waits to be mended.
pub async fn or_end<T, E: Display>(result: Result<T, E>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => {
            error!("{}", Display2Format(&error));
            core::future::pending().await
        }
    }
}
