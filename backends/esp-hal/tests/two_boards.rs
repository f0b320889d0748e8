//! Two boards: their stacks outside are joined by a cable, and sockets talk in the tunnel.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use embassy_net::driver::{HardwareAddress, LinkState};
use embassy_net::tcp::TcpSocket;
use embassy_net::{Config, Ipv4Cidr, Stack, StackResources, StaticConfigV4};
use embassy_net_driver_channel::{Device, RxRunner, State, TxRunner};
use futures_lite::future::{block_on, or, zip};
use wg_esp_hal::wg_nal::rand_core::{TryCryptoRng, TryRng};
use wg_esp_hal::wg_nal::wg_core::{Increasing, PrivateKey};
use wg_esp_hal::wg_nal::{self, Identity, Origin};
use wg_esp_hal::{BeginError, Board, Entropy, Memory, Tunnel, WIFI_IP_MTU, begin, begin_config};

/// The frame of esp-radio, less Ethernet's header.
const MTU: usize = WIFI_IP_MTU as usize;
const PORT: u16 = 51820;

type Clock = Increasing<fn() -> Option<Duration>>;

/// A generator that is repeatable and by no means secure.
struct Seeded(u64);

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

fn key(seed: u8) -> PrivateKey {
    PrivateKey::from_bytes([seed; 32]).unwrap()
}

fn base64(seed: u8) -> String {
    key(seed).expose_base64().as_str().to_owned()
}

fn board(underlay: Stack<'static>, seed: u64) -> Board<Clock> {
    let clock = Increasing::new((|| Some(Duration::from_secs(1_800_000_000))) as fn() -> _, None);
    let rng = Entropy::new(Seeded(seed), ()).drbg().unwrap();
    Board { underlay, ip_mtu: WIFI_IP_MTU, rng, clock }
}

/// Memory that no other test has.
fn memory() -> &'static mut Memory {
    Box::leak(Box::new(Memory::new()))
}

/// The text of the gateway, 10.9.0.1 in the tunnel and 10.0.0.2 outside.
fn gateway_text() -> &'static str {
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
fn board_text(more: &str) -> &'static str {
    let text = format!(
        "[Interface]\nPrivateKey = {NONE}\nAddress = 10.9.0.2/24\n{more}\n\
         [Peer]\nPublicKey = {}\nEndpoint = 10.0.0.2:{PORT}\nAllowedIPs = 0.0.0.0/0\n",
        key(2).public_key()
    );
    leak(text)
}

fn leak(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

fn identity() -> Identity {
    Identity { private_key: key(1), public_key: key(1).public_key(), origin: Origin::Kept }
}

/// Runs `test` with a stack outside for each of two boards. `carried` counts their packets.
fn over_a_cable(test: impl AsyncFnOnce(Stack<'static>, Stack<'static>, &AtomicUsize)) {
    let mut wires = [1, 2].map(|host| {
        let state: &'static mut State<MTU, 8, 8> = Box::leak(Box::new(State::new()));
        let (wire, device): (_, Device<'_, MTU>) =
            embassy_net_driver_channel::new(state, HardwareAddress::Ip);
        let config = Config::ipv4_static(StaticConfigV4 {
            address: Ipv4Cidr::new(Ipv4Addr::new(10, 0, 0, host), 24),
            gateway: None,
            dns_servers: Default::default(),
        });
        let resources = Box::leak(Box::new(StackResources::<4>::new()));
        let (stack, runner) = embassy_net::new(device, config, resources, host.into());
        let (state, rx, tx) = wire.split();
        state.set_link_state(LinkState::Up);
        Some((stack, runner, rx, tx))
    });
    let [Some((one, mut run1, rx1, tx1)), Some((two, mut run2, rx2, tx2))] =
        wires.each_mut().map(Option::take)
    else {
        unreachable!("both were just made")
    };
    let carried = AtomicUsize::new(0);
    let outside = async {
        zip(zip(carry(tx1, rx2, &carried), carry(tx2, rx1, &carried)), zip(run1.run(), run2.run()))
            .await;
    };
    let limit = async {
        async_io::Timer::after(Duration::from_secs(20)).await;
        panic!("nothing came for 20 s");
    };
    block_on(or(test(one, two, &carried), or(outside, limit)));
}

async fn carry(
    mut from: TxRunner<'static, MTU>,
    mut to: RxRunner<'static, MTU>,
    carried: &AtomicUsize,
) {
    loop {
        let packet = from.tx_buf().await;
        let len = packet.len();
        to.rx_buf().await[..len].copy_from_slice(packet);
        to.rx_done(len);
        from.tx_done();
        carried.fetch_add(1, Ordering::Relaxed);
    }
}

/// Sends `len` bytes from the board to the gateway and back, over TCP in the tunnel.
async fn echo(board: Stack<'static>, gateway: Stack<'static>, len: usize) {
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
        socket.connect((Ipv4Addr::new(10, 9, 0, 1), 80)).await.unwrap();
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

fn gateway(underlay: Stack<'static>) -> Tunnel<Clock> {
    begin_config(memory(), board(underlay, 2), gateway_text(), None).unwrap()
}

#[test]
fn five_arguments_and_sockets_talk_in_the_tunnel() {
    over_a_cable(async |one, two, carried| {
        let mut gateway = gateway(two);
        let mut board = begin(
            memory(),
            board(one, 1),
            IpAddr::from([10, 9, 0, 2]),
            &base64(1),
            "10.0.0.2",
            &key(2).public_key().to_string(),
            PORT,
        )
        .unwrap();
        let talk = echo(board.inside, gateway.inside, 50_000);
        or(talk, async {
            zip(board.runner.run(), gateway.runner.run()).await;
        })
        .await;
        // A packet too long for the frames outside would have been lost, and sent again.
        assert_eq!(board.handle.counters().too_long, 0);
        assert!(carried.load(Ordering::Relaxed) > 70, "they went over the cable, in datagrams");
    });
}

#[test]
fn a_text_without_a_key_takes_the_boards_own_and_a_stop_is_no_end() {
    over_a_cable(async |one, two, carried| {
        let mut gateway = gateway(two);
        let text = board_text("MTU = 1280\nDNS = 10.9.0.1, fd00::1");
        let identity = identity();
        let mut board = begin_config(memory(), board(one, 1), text, Some(&identity)).unwrap();
        let servers = board.inside.config_v4().unwrap().dns_servers;
        assert_eq!(servers.as_slice(), [Ipv4Addr::new(10, 9, 0, 1)], "of our family");
        or(
            async {
                for _ in 0..2 {
                    let (inside, handle) = (board.inside, board.handle);
                    zip(board.runner.run(), async {
                        echo(inside, gateway.inside, 3_000).await;
                        handle.stop();
                        handle.stop();
                    })
                    .await;
                    assert!(!handle.is_link_up());
                }
            },
            gateway.runner.run(),
        )
        .await;
        assert!(carried.load(Ordering::Relaxed) > 0);
    });
}

#[test]
fn what_is_wrong_is_told_before_anything_runs() {
    over_a_cable(async |one, two, _| {
        let refused = |text: &'static str, identity: Option<&Identity>, underlay| {
            begin_config(memory(), board(underlay, 1), text, identity).map(drop).unwrap_err()
        };
        let identity = identity();
        assert_eq!(refused(board_text(""), None, one), BeginError::NoPrivateKey);
        assert_eq!(refused(board_text("MTU = 1421"), Some(&identity), one), BeginError::Mtu(1421));
        let no_address = leak(format!("[Interface]\nPrivateKey = {}\n", base64(1)));
        assert_eq!(refused(no_address, None, two), BeginError::NoAddress);
        let error = refused(board_text("MTU = x"), Some(&identity), two);
        assert!(error.to_string().starts_with("line 4"), "{error}");
        let third = key(3).public_key();
        let two_peers = leak(format!("{}[Peer]\nPublicKey = {third}\n", board_text("")));
        assert!(matches!(
            refused(two_peers, Some(&identity), two),
            BeginError::Tunnel(wg_nal::BeginError::Peer(_))
        ));
    });
}
