//! Posts by HTTP, through a WireGuard tunnel over Ethernet, how long the board has been up.
#![no_std]
#![no_main]

use core::convert::Infallible;

use embassy_embedded_hal::adapter::BlockingAsync;
use embassy_executor::Spawner;
use embassy_net::Stack;
use embassy_rp::flash::{Blocking, Flash};
use embassy_rp::peripherals::FLASH;
use rp_w5500::{board, or_end, post_uptime};
use static_cell::StaticCell;
use wg_nal::embassy::{Board, Memory, Runner, begin_config};
use wg_nal::{Drbg, ETHERNET_MTU, FlashClock, FlashStore, Identity};
type Kept = BlockingAsync<Flash<'static, FLASH, Blocking, 0x20_0000>>;

#[embassy_executor::main]
async fn main(spawner: Spawner) -> ! {
    let inside = tunnel(board::start(spawner).await, spawner).await;
    post_uptime(inside).await
}

/// The tunnel that `wg0.conf` describes: a stack of embassy-net, as the one outside.
async fn tunnel(board: board::Board, spawner: Spawner) -> Stack<'static> {
    let mut random = board.rng;
    let rng = Drbg::try_from_fn(|bytes| Ok::<_, Infallible>(random.fill_bytes(bytes)));
    let mut rng = or_end(rng).await;
    let flash = BlockingAsync::new(Flash::new_blocking(board.flash));
    let mut store = or_end(FlashStore::new(flash, 0x1f_e000..0x20_0000)).await; // two sectors
    let identity = or_end(Identity::load_or_generate(&mut store, &mut rng).await).await;
    defmt::info!("our public key: {}", defmt::Display2Format(&identity.public_key));

    static MEMORY: StaticCell<Memory<1, 4>> = StaticCell::new(); // one peer, four allowed IPs
    let memory = MEMORY.init_with(Memory::new);
    let clock = FlashClock::new(|| None, store); // there is no clock of the time of day
    let board = Board { underlay: board.network, ip_mtu: ETHERNET_MTU, rng, clock };
    let tunnel = begin_config(memory, board, include_str!("../../wg0.conf"), Some(&identity));
    let tunnel = or_end(tunnel).await;
    spawner.spawn(or_end(run(tunnel.runner)).await);
    tunnel.inside
}

#[embassy_executor::task]
async fn run(mut runner: Runner<FlashClock<Kept>>) {
    runner.run().await;
}
