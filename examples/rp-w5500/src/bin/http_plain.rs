//! `uptime-post` without the tunnel, to compare.
#![no_std]
#![no_main]

use embassy_executor::Spawner;
use rp_w5500::{board, post_uptime};

#[embassy_executor::main]
async fn main(spawner: Spawner) -> ! {
    let board = board::start(spawner).await;
    post_uptime(board.network).await
}
