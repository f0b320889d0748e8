//! Posts by HTTP, through a WireGuard tunnel over Wi-Fi, how long the board has been up.
#![no_std]
#![no_main]
extern crate alloc;

use embassy_executor::Spawner;
use embassy_time::Timer;
use esp_backtrace as _;
use esp_println::println;
use uptime_post_esp::{board, http, tunnel};

esp_bootloader_esp_idf::esp_app_desc!();

#[esp_rtos::main]
async fn main(spawner: Spawner) -> ! {
    if let Err(error) = run(spawner).await {
        println!("{error}");
    }
    loop {
        Timer::after_secs(3600).await;
    }
}

async fn run(spawner: Spawner) -> Result<(), board::Error> {
    let board = board::start(spawner)?;
    let tunnel = tunnel::start(board).await?;
    let inside = tunnel.inside;
    tunnel.with(http::post_uptime(inside)).await;
    Ok(())
}
