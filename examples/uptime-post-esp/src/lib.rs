//! What the firmware images of this package share. `src/bin/uptime-post.rs` is the one to read.
//!
//! | image | over | |
//! | --- | --- | --- |
//! | `uptime-post` | the tunnel | HTTP: the example |
//! | `http-plain` | Wi-Fi | the same without the tunnel, to compare sizes |
//! | `mqtt-tunnel`, `mqtt-plain` | the tunnel, Wi-Fi | MQTT in place of HTTP |
//! | `mqtt-tls` | TLS over Wi-Fi | what the tunnel is compared with |
#![no_std]
extern crate alloc;

use core::convert::Infallible;
use core::ops::ControlFlow;

use embassy_net::Stack;
use embassy_time::{Duration, Timer};
use esp_println::println;

pub mod board;
pub mod mqtt;
pub mod tls;
pub mod tunnel;

/// Posts by HTTP, every half minute, how long the board has been up.
pub async fn post_uptime(network: Stack<'static>) -> Infallible {
    uptime::post_uptime_over(network, uptime::URL, Duration::from_secs(30), |outcome| {
        println!("{outcome}");
        ControlFlow::Continue(())
    })
    .await
}

/// The end of an image that could not start: it says why, and does not restart.
pub async fn end(outcome: Result<Infallible, board::Error>) -> ! {
    let Err(error) = outcome;
    println!("{error}");
    loop {
        Timer::after_secs(3600).await;
    }
}
