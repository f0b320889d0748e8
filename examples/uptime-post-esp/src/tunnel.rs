//! The tunnel of these images.

use alloc::string::ToString;
use core::convert::Infallible;
use core::time::Duration;

use embassy_futures::join::join3;
use embassy_net::Stack;
use esp_println::println;
use static_cell::{ConstStaticCell, StaticCell};
use wg_esp_hal::wg_nal::{EmbassyTime, Handle, Identity, Origin, Persistent, Timestamps};
use wg_esp_hal::{
    ETHERNET_IP_MTU, Memory, Runner, TEXT_LEN, TextError, begin_config, read_text, split, store,
    unix_time,
};

use crate::board::{Board, Error};

/// A tunnel that runs while [`Tunnel::with`] does.
pub struct Tunnel<C> {
    pub inside: Stack<'static>,
    handle: Handle<'static, EmbassyTime>,
    runner: Runner<C>,
}

/// Begins the tunnel that the configuration in flash describes, or where that is erased, that of the
/// environment variable `WG_CONF` at build time.
pub async fn start(board: Board) -> Result<Tunnel<impl Timestamps>, Error> {
    let Board { wifi, mut rng, rtc, mut flash, partition } = board;
    let [text, records] = split(partition).map_err(|error| error.to_string())?;
    static TEXT: ConstStaticCell<[u8; TEXT_LEN]> = ConstStaticCell::new([0; TEXT_LEN]);
    let text = match (read_text(&mut flash, text, TEXT.take()), option_env!("WG_CONF")) {
        (Ok(text), _) => text,
        // What is damaged is told: the image's configuration may be another gateway's.
        (Err(TextError::Empty), Some(text)) => text,
        (Err(error), _) => return Err(error.to_string()),
    };

    let mut store = store(flash, records).map_err(|error| error.to_string())?;
    let identity = Identity::load_or_generate(&mut store, &mut rng).await;
    let identity = identity.map_err(|error| error.to_string())?;
    if identity.origin == Origin::Generated {
        println!("a new key was made");
    }
    println!("this board's own public key: {}", identity.public_key);

    let clock = Persistent::new(move || -> Option<Duration> { unix_time(&rtc) }, store);
    // 1514 in .cargo/config.toml makes Wi-Fi's frames as long as Ethernet's.
    let board = wg_esp_hal::Board { underlay: wifi, ip_mtu: ETHERNET_IP_MTU, rng, clock };
    // One peer, with as many allowed IPs as a cloud may hand out.
    static MEMORY: StaticCell<Memory<1, 20>> = StaticCell::new();
    let memory = MEMORY.init_with(Memory::new);
    let tunnel = begin_config(memory, board, text, Some(&identity));
    let wg_esp_hal::Tunnel { inside, handle, runner } =
        tunnel.map_err(|error| error.to_string())?;
    if let Some(key) = handle.public_key() {
        println!("the tunnel's public key: {key}");
    }
    Ok(Tunnel { inside, handle, runner })
}

impl<C: Timestamps> Tunnel<C> {
    /// Runs the tunnel beside `application`, and tells what happens to it.
    pub async fn with(self, application: impl Future<Output = Infallible>) -> Infallible {
        let Self { handle, mut runner, .. } = self;
        let report = async {
            loop {
                println!("{:?}", handle.event().await);
                handle.for_each_peer(|_, peer| println!("{:?}", peer.connection));
            }
        };
        // Nobody stops the tunnel.
        join3(runner.run(), report, application).await.2
    }
}
