//! The tunnel and the application in it, on ESP-IDF. `src/main.rs` is the board.
//!
//! The tunnel is an interface of lwIP, so the application's sockets are std's: the routes of the
//! configuration decide which of them go through it.
#![cfg(target_os = "espidf")]

use core::convert::Infallible;
use core::ops::ControlFlow;
use core::time::Duration;

use futures_lite::future::block_on;
use uptime::{Outcome, Sockets};
use wg_esp_idf::{Error, Settings, Tunnel, nvs_clock, random};

/// For a socket's connect, read and write each.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Begins the tunnel of a wg-quick file, and posts every half minute in this thread. To be
/// called after the radio has started, which makes random numbers random.
///
/// # Errors
/// The configuration's, or what [`Tunnel::start`] says. Nothing ends it later.
pub fn post_uptime(text: &str) -> Result<Infallible, Error> {
    let tunnel = Tunnel::start(Settings::from_config(text)?, nvs_clock(), random()?)?;
    let sockets = Sockets::new(TIMEOUT);
    let pause = embassy_time::Duration::from_secs(30);
    let told = |outcome| {
        log::info!("{outcome}");
        if !matches!(outcome, Outcome::Posted(_)) {
            // Why: no clock yet, no endpoint, no answer.
            log::info!("the tunnel: {:?}", tunnel.status());
        }
        ControlFlow::<Result<_, _>>::Continue(())
    };
    block_on(uptime::post_uptime(&sockets, &sockets, uptime::URL, pause, told))
}
