//! Two boards, whose stacks outside are joined by a cable.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use embassy_net::driver::{HardwareAddress, LinkState};
use embassy_net::tcp::TcpSocket;
use embassy_net::{Config, Ipv4Cidr, Stack, StackResources, StaticConfigV4};
use embassy_net_driver_channel::{Device, RxRunner, State, StateRunner, TxRunner};
use futures_lite::future::{block_on, or, zip};
use wg_esp_hal::wg_nal::rand_core::{TryCryptoRng, TryRng};
use wg_esp_hal::wg_nal::wg_core::{Increasing, PrivateKey};
use wg_esp_hal::wg_nal::{Identity, Origin};
use wg_esp_hal::{Board, Entropy, Memory, Tunnel, WIFI_IP_MTU, begin_config};

/// The frame of esp-radio, less Ethernet's header.
const MTU: usize = WIFI_IP_MTU as usize;
pub(crate) const PORT: u16 = 51820;

pub(crate) type Clock = Increasing<fn() -> Option<Duration>>;

/// A generator that is repeatable and by no means secure.
pub(crate) struct Seeded(pub(crate) u64);

impl TryRng for Seeded {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        self.try_next_u64().map(|n| (n >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        Ok(self.0)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        for chunk in bytes.chunks_mut(8) {
            let word = self.try_next_u64()?.to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for Seeded {}

pub(crate) fn key(seed: u8) -> PrivateKey {
    PrivateKey::from_bytes([seed; 32]).unwrap()
}

pub(crate) fn base64(seed: u8) -> String {
    key(seed).expose_base64().as_str().to_owned()
}

pub(crate) fn board(underlay: Stack<'static>, seed: u64) -> Board<Clock> {
    let clock = Increasing::new((|| Some(Duration::from_secs(1_800_000_000))) as fn() -> _, None);
    let rng = Entropy::new(Seeded(seed), ()).drbg().unwrap();
    Board { underlay, ip_mtu: WIFI_IP_MTU, rng, clock }
}

/// Memory that no other test has.
pub(crate) fn memory() -> &'static mut Memory {
    Box::leak(Box::new(Memory::new()))
}

/// The text of the gateway, 10.9.0.1 in the tunnel and 10.0.0.2 outside.
pub(crate) fn gateway_text() -> &'static str {
    let text = format!(
        "[Interface]\nPrivateKey = {}\nListenPort = {PORT}\nAddress = 10.9.0.1/24\n\
         [Peer]\nPublicKey = {}\nAllowedIPs = 10.9.0.2/32\n",
        base64(2),
        key(1).public_key()
    );
    leak(text)
}

/// No key: the board's own.
const NONE: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// The text of the board, 10.9.0.2 in the tunnel.
pub(crate) fn board_text(more: &str) -> &'static str {
    board_text_to("10.0.0.2", more)
}

pub(crate) fn board_text_to(gateway: &str, more: &str) -> &'static str {
    let text = format!(
        "[Interface]\nPrivateKey = {NONE}\nAddress = 10.9.0.2/24\n{more}\n\
         [Peer]\nPublicKey = {}\nEndpoint = {gateway}:{PORT}\nAllowedIPs = 0.0.0.0/0\n",
        key(2).public_key()
    );
    leak(text)
}

pub(crate) fn leak(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

pub(crate) fn identity() -> Identity {
    Identity { private_key: key(1), public_key: key(1).public_key(), origin: Origin::Kept }
}

/// Two stacks outside, and what joins them.
pub(crate) struct Cable {
    pub(crate) one: Stack<'static>,
    pub(crate) two: Stack<'static>,
    /// The packets that it carried.
    pub(crate) carried: AtomicUsize,
    is_plugged: AtomicBool,
    link: StateRunner<'static>,
}

impl Cable {
    /// Whether the first board is on it: its link is up, and its packets arrive.
    pub(crate) fn set_plugged(&self, plugged: bool) {
        self.is_plugged.store(plugged, Ordering::Relaxed);
        self.link.set_link_state(if plugged { LinkState::Up } else { LinkState::Down });
    }

    async fn carry(&self, mut from: TxRunner<'static, MTU>, mut to: RxRunner<'static, MTU>) {
        loop {
            let packet = from.tx_buf().await;
            let len = packet.len();
            if self.is_plugged.load(Ordering::Relaxed) {
                to.rx_buf().await[..len].copy_from_slice(packet);
                to.rx_done(len);
                self.carried.fetch_add(1, Ordering::Relaxed);
            }
            from.tx_done();
        }
    }
}

/// Runs `test` over a cable between two boards, which is plugged in.
pub(crate) fn over_a_cable(test: impl AsyncFnOnce(&Cable)) {
    let mut wires = [1, 2].map(|host| {
        let state: &'static mut State<MTU, 8, 8> = Box::leak(Box::new(State::new()));
        let (wire, device): (_, Device<'_, MTU>) =
            embassy_net_driver_channel::new(state, HardwareAddress::Ip);
        let config = Config::ipv4_static(StaticConfigV4 {
            address: Ipv4Cidr::new(Ipv4Addr::new(10, 0, 0, host), 24),
            gateway: None,
            dns_servers: [Ipv4Addr::new(10, 0, 0, 2)].into_iter().collect(),
        });
        let resources = Box::leak(Box::new(StackResources::<4>::new()));
        let (stack, runner) = embassy_net::new(device, config, resources, host.into());
        let (state, rx, tx) = wire.split();
        state.set_link_state(LinkState::Up);
        Some((stack, runner, state, rx, tx))
    });
    let [Some((one, mut run1, link, rx1, tx1)), Some((two, mut run2, _, rx2, tx2))] =
        wires.each_mut().map(Option::take)
    else {
        unreachable!("both were just made")
    };
    let cable = Cable { one, two, carried: AtomicUsize::new(0), is_plugged: true.into(), link };
    let outside = async {
        zip(zip(cable.carry(tx1, rx2), cable.carry(tx2, rx1)), zip(run1.run(), run2.run())).await;
    };
    let limit = async {
        async_io::Timer::after(Duration::from_secs(30)).await;
        panic!("not done in 30 s");
    };
    block_on(or(test(&cable), or(outside, limit)));
}

/// Sends `len` bytes from the board to the gateway and back, over TCP in the tunnel.
pub(crate) async fn echo(board: Stack<'static>, gateway: Stack<'static>, len: usize) {
    echo_at(board, gateway, [10, 9, 0, 1], len).await;
}

/// The same to a gateway at another address.
pub(crate) async fn echo_at(
    board: Stack<'static>,
    gateway: Stack<'static>,
    address: [u8; 4],
    len: usize,
) {
    let serve = async {
        let (mut rx, mut tx) = ([0; 4096], [0; 4096]);
        let mut socket = TcpSocket::new(gateway, &mut rx, &mut tx);
        socket.accept(80).await.unwrap();
        let mut bytes = [0; 1024];
        loop {
            let read = socket.read(&mut bytes).await.unwrap();
            let mut rest = &bytes[..read];
            while !rest.is_empty() {
                let written = socket.write(rest).await.unwrap();
                rest = &rest[written..];
            }
        }
    };
    let ask = async {
        board.wait_link_up().await;
        let (mut rx, mut tx) = ([0; 4096], [0; 4096]);
        let mut socket = TcpSocket::new(board, &mut rx, &mut tx);
        socket.connect((Ipv4Addr::from(address), 80)).await.unwrap();
        let sent: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
        let mut received = vec![0; len];
        let (mut read, mut write) = socket.split();
        let send = async {
            let mut rest = &sent[..];
            while !rest.is_empty() {
                let written = write.write(rest).await.unwrap();
                rest = &rest[written..];
            }
        };
        let receive = async {
            let mut filled = 0;
            while filled < len {
                filled += read.read(&mut received[filled..]).await.unwrap();
            }
        };
        zip(send, receive).await;
        assert!(received == sent, "what came back is what was sent");
    };
    or(ask, serve).await;
}

pub(crate) fn gateway(underlay: Stack<'static>) -> Tunnel<Clock> {
    begin_config(memory(), board(underlay, 2), gateway_text(), None).unwrap()
}
