//! Publishes by MQTT over TLS: `mqtt-tunnel` with TLS in place of the tunnel, to compare sizes.
#![no_std]
#![no_main]

use core::convert::Infallible;

use embassy_executor::Spawner;
use esp_backtrace as _;
use uptime_post_esp::{board, end, tls};

esp_bootloader_esp_idf::esp_app_desc!();

#[esp_rtos::main]
async fn main(spawner: Spawner) -> ! {
    end(run(spawner).await).await
}

async fn run(spawner: Spawner) -> Result<Infallible, board::Error> {
    let mut board = board::start(spawner)?;
    let authority = board::certificate(&mut board)?;
    match tls::publish_uptime(board.wifi, &authority).await {}
}
