//! `uptime-post` without the tunnel, to compare.
#![no_std]
#![no_main]

use embassy_executor::Spawner;
use stm32_ethernet::{board, post_uptime};

#[embassy_executor::main]
async fn main(spawner: Spawner) -> ! {
    let board = board::start(spawner);
    post_uptime(board.network).await
}
