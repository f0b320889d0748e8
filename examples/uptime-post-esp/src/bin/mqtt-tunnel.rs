//! Publishes by MQTT through a WireGuard tunnel over Wi-Fi.
#![no_std]
#![no_main]

use core::convert::Infallible;

use embassy_executor::Spawner;
use esp_backtrace as _;
use uptime_post_esp::{board, end, mqtt, tunnel};

esp_bootloader_esp_idf::esp_app_desc!();

#[esp_rtos::main]
async fn main(spawner: Spawner) -> ! {
    end(run(spawner).await).await
}

async fn run(spawner: Spawner) -> Result<Infallible, board::Error> {
    let tunnel = tunnel::start(board::start(spawner)?).await?;
    let inside = tunnel.inside;
    match tunnel.with(mqtt::publish_uptime(inside)).await {}
}
