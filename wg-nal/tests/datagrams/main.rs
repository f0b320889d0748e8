//! What every adapter of the underlay does, seen on real loopback sockets and on two stacks of
//! embassy-net in one process.

mod conformance;
#[path = "../last_first/mod.rs"]
mod last_first;
mod turns;
mod two_stacks;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use async_io::Timer;
use conformance::{Pair, conformance};
use edge_nal::UdpBind;
use embassy_net::udp::{PacketMetadata, UdpSocket};
use embedded_nal_async::{ConnectedUdp, UdpStack, UnconnectedUdp};
use futures_lite::future::or;
use two_stacks::{PORT, in_time, over_two_ethernets, over_two_stacks, v4, v6};
use wg_core::Endpoint;
use wg_nal::{
    CancelSafe, Datagrams, EdgeUdp, EmbassyError, EmbassyUdp, UdpBuffers, UdpNalError, UdpPool,
    UnderlayError,
};

const LOOPBACK: [&str; 2] = ["127.0.0.1:0", "[::1]:0"];

async fn single(local: SocketAddr) -> (SocketAddr, CancelSafe<impl UnconnectedUdp>) {
    let (local, socket) =
        std_embedded_nal_async::Stack::default().bind_single(local).await.unwrap();
    (local, CancelSafe::new(socket, local))
}

#[test]
fn embedded_nal_async_conforms() {
    for local in LOOPBACK {
        let local: SocketAddr = local.parse().unwrap();
        in_time(async {
            let (a, mut alice) = single(local).await;
            let (b, mut bob) = single(local).await;
            let pair = Pair { a, b, tells_local: true };
            conformance(pair, &mut alice, &mut bob).await;
        });
    }
}

/// Bound to no address, a socket learns from each datagram where to reply from.
///
/// std-embedded-nal-async 0.4 tells IPv4 addresses with their bytes reversed, and takes them so:
/// what is seen here is where the reply comes from.
#[test]
fn a_reply_leaves_from_the_address_that_was_asked() {
    for (anywhere, client, addresses) in [
        ("0.0.0.0", "127.0.0.1:0", &["127.0.0.1", "127.0.0.2", "127.8.0.3"][..]),
        ("::", "[::1]:0", &["::1"]),
    ] {
        let client = std::net::UdpSocket::bind(client).unwrap();
        let port = {
            let probe = std::net::UdpSocket::bind((anywhere, 0)).unwrap();
            probe.local_addr().unwrap().port()
        };
        let anywhere = SocketAddr::new(anywhere.parse().unwrap(), port);
        in_time(async {
            let stack = std_embedded_nal_async::Stack::default();
            let socket = stack.bind_multiple(anywhere).await.unwrap();
            let mut socket = CancelSafe::new(socket, anywhere);
            let mut buf = [0; 100];
            for asked in addresses {
                let asked = SocketAddr::new(asked.parse().unwrap(), port);
                client.send_to(b"ask", asked).unwrap();
                let (len, source) = socket.receive(&mut buf).await.unwrap();
                assert_eq!((len, source.remote), (3, client.local_addr().unwrap()));
                assert!(asked.is_ipv4() || source.local == Some(asked.ip()), "{source:?}");
                socket.send(source.into(), b"reply").await.unwrap();
                assert_eq!(client.recv_from(&mut buf).unwrap(), (5, asked));
            }
            // Without a request, the system chooses.
            let to = Endpoint { remote: client.local_addr().unwrap(), local: None };
            socket.send(to, b"first").await.unwrap();
            assert_eq!(client.recv_from(&mut buf).unwrap().0, 5);
        });
    }
}

/// The peer keeps to the address that it heard us from last, until it hears us from another one.
#[test]
fn a_reply_leaves_though_the_address_that_was_asked_is_gone() {
    let client = std::net::UdpSocket::bind("[::1]:0").unwrap();
    client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let remote = client.local_addr().unwrap();
    let to = Endpoint { remote, local: Some("2001:db8::1".parse().unwrap()) };
    let anywhere = "[::]:0".parse().unwrap();
    let mut buf = [0; 100];
    in_time(async {
        let stack = std_embedded_nal_async::Stack::default();
        let socket = stack.bind_multiple(anywhere).await.unwrap();
        CancelSafe::new(socket, anywhere).send(to, b"reply").await.unwrap();
        assert_eq!(client.recv(&mut buf).unwrap(), 5);
    });
    over_two_stacks(1500, true, async |one, two| {
        let (mut m1, mut m2) = (UdpBuffers::<1, 4, 4000>::new(), UdpBuffers::<1, 4, 4000>::new());
        let (p1, p2) = (UdpPool::new(one, 1500, &mut m1), UdpPool::new(two, 1500, &mut m2));
        for [here, there, gone] in [[v4(1), v4(2), v4(7)], [v6(1), v6(2), v6(7)]] {
            let anywhere =
                SocketAddr::new(if here.is_ipv4() { [0; 4].into() } else { [0; 16].into() }, PORT);
            let socket = p1.nal().bind_multiple(anywhere).await.unwrap();
            let mut peer = p2.nal().bind_multiple(there).await.unwrap();
            let to = Endpoint { remote: there, local: Some(gone.ip()) };
            CancelSafe::new(socket, anywhere).send(to, b"reply").await.unwrap();
            assert_eq!(peer.receive_into(&mut buf).await.unwrap(), (5, there, here));
        }
    });
}

#[test]
fn an_endpoint_of_the_other_family_is_an_error() {
    in_time(async {
        let (_, mut v4) = single("127.0.0.1:0".parse().unwrap()).await;
        let to = Endpoint { remote: "[::1]:9".parse().unwrap(), local: None };
        assert!(matches!(v4.send(to, b"x").await, Err(UnderlayError::OtherFamily)));
    });
}

#[test]
fn the_stacks_error_surfaces() {
    in_time(async {
        // Loopback addresses reach nothing else, and port 0 nobody.
        let remote = "192.0.2.1:0".parse().unwrap();
        let (_, mut socket) = single("127.0.0.1:0".parse().unwrap()).await;
        let sent = socket.send(Endpoint { remote, local: None }, b"x").await;
        assert!(matches!(sent, Err(UnderlayError::Stack(_))), "{sent:?}");
        let local = "127.0.0.1:0".parse().unwrap();
        let socket = edge_nal_std::Stack::new().bind(local).await.unwrap();
        let sent = EdgeUdp::new(socket).send(Endpoint { remote, local: None }, b"x").await;
        assert!(matches!(sent, Err(UnderlayError::Stack(_))), "{sent:?}");
    });
}

#[test]
fn edge_nal_conforms() {
    for local in LOOPBACK {
        in_time(async {
            let stack = edge_nal_std::Stack::new();
            let alice = stack.bind(local.parse().unwrap()).await.unwrap();
            let bob = stack.bind(local.parse().unwrap()).await.unwrap();
            let a = alice.as_ref().local_addr().unwrap();
            let b = bob.as_ref().local_addr().unwrap();
            let pair = Pair { a, b, tells_local: false };
            conformance(pair, &mut EdgeUdp::new(alice), &mut EdgeUdp::new(bob)).await;
        });
    }
}

/// Buffers of a socket of embassy-net.
struct Memory {
    received: [PacketMetadata; 8],
    received_bytes: [u8; 8 * 1500],
    sent: [PacketMetadata; 2],
    sent_bytes: [u8; 2 * 1500],
}

impl Memory {
    fn new() -> Self {
        Self {
            received: [PacketMetadata::EMPTY; 8],
            received_bytes: [0; 8 * 1500],
            sent: [PacketMetadata::EMPTY; 2],
            sent_bytes: [0; 2 * 1500],
        }
    }

    fn socket<'d>(&'d mut self, stack: embassy_net::Stack<'d>) -> UdpSocket<'d> {
        let Self { received, received_bytes, sent, sent_bytes } = self;
        UdpSocket::new(stack, received, received_bytes, sent, sent_bytes)
    }
}

#[test]
fn embassy_net_conforms() {
    for [a, b] in [[v4(1), v4(2)], [v6(1), v6(2)]] {
        over_two_stacks(1500, true, async |one, two| {
            let (mut m1, mut m2) = (Memory::new(), Memory::new());
            let (mut alice, mut bob) = (m1.socket(one), m2.socket(two));
            alice.bind(PORT).unwrap();
            bob.bind(PORT).unwrap();
            let pair = Pair { a, b, tells_local: true };
            let mut alice = EmbassyUdp::new(&mut alice, 1500);
            let mut bob = EmbassyUdp::new(&mut bob, 1500);
            conformance(pair, &mut alice, &mut bob).await;
        });
    }
}

/// esp-radio's default: embassy-net would lose one byte more without an error.
#[test]
fn embassy_net_carries_what_the_mtu_says_and_refuses_one_byte_more() {
    over_two_stacks(1478, true, async |one, two| {
        let (mut m1, mut m2) = (Memory::new(), Memory::new());
        let (mut alice, mut bob) = (m1.socket(one), m2.socket(two));
        alice.bind(PORT).unwrap();
        bob.bind(PORT).unwrap();
        let mut alice = EmbassyUdp::new(&mut alice, 1478);
        let mut bob = EmbassyUdp::new(&mut bob, 1478);
        for (remote, largest) in [(v4(2), 1450), (v6(2), 1430)] {
            assert_eq!(alice.largest_datagram(remote.ip()), largest);
            let to = Endpoint { remote, local: None };
            alice.send(to, &[7; 1500][..largest]).await.unwrap();
            let mut buf = [0; 1500];
            assert_eq!(bob.receive(&mut buf).await.unwrap().0, largest);
            let refused = alice.send(to, &[7; 1500][..=largest]).await;
            assert_eq!(refused, Err(UnderlayError::TooLong { largest }));
        }
    });
}

#[test]
fn embassy_net_with_its_link_down_gives_up_sending_and_does_not_hang() {
    over_two_stacks(1500, false, async |one, _| {
        let mut memory = Memory::new();
        let mut socket = memory.socket(one);
        let to = Endpoint { remote: v4(2), local: None };
        let not_bound = EmbassyUdp::new(&mut socket, 1500).send(to, b"x").await;
        assert_eq!(not_bound, Err(UnderlayError::Stack(EmbassyError::NotBound)));
        socket.bind(PORT).unwrap();
        let mut alice = EmbassyUdp::new(&mut socket, 1500);
        // Two datagrams fit into the socket, and eight into the driver, which nobody empties.
        let mut taken = 0;
        while alice.send(to, b"x").await == Ok(()) {
            taken += 1;
            assert!(taken <= 10);
        }
        assert_eq!(taken, 10, "all the room there is");
        for _ in 0..10 {
            let full = alice.send(to, b"no room").await;
            assert_eq!(full, Err(UnderlayError::Stack(EmbassyError::Full)));
        }
        let nowhere = Endpoint { remote: "0.0.0.0:1".parse().unwrap(), local: None };
        let refused = alice.send(nowhere, b"x").await;
        assert_eq!(refused, Err(UnderlayError::Stack(EmbassyError::NoRoute)));
    });
}

/// embassy-net panics when it is given addresses of two families.
#[test]
fn embassy_net_is_never_given_addresses_of_two_families() {
    over_two_stacks(1500, true, async |one, two| {
        let (mut m1, mut m2) = (Memory::new(), Memory::new());
        let (mut alice, mut bob) = (m1.socket(one), m2.socket(two));
        alice.bind(v4(1)).unwrap();
        bob.bind(PORT).unwrap();
        let mut alice = EmbassyUdp::new(&mut alice, 1500);
        let refused = alice.send(Endpoint { remote: v6(2), local: None }, b"x").await;
        assert_eq!(refused, Err(UnderlayError::OtherFamily));
        // A stale local address is not used.
        let to = Endpoint { remote: v4(1), local: Some(v6(2).ip()) };
        EmbassyUdp::new(&mut bob, 1500).send(to, b"reply").await.unwrap();
        let mut buf = [0; 10];
        let (len, source) = alice.receive(&mut buf).await.unwrap();
        assert_eq!((len, source.remote), (5, v4(2)));
    });
}

/// Runs `test` with two sockets on one Ethernet.
fn between_neighbours(test: impl AsyncFnOnce(EmbassyUdp<'_, '_>, EmbassyUdp<'_, '_>)) {
    over_two_ethernets(async |one, two| {
        let (mut m1, mut m2) = (Memory::new(), Memory::new());
        let (mut alice, mut bob) = (m1.socket(one), m2.socket(two));
        alice.bind(PORT).unwrap();
        bob.bind(PORT).unwrap();
        test(EmbassyUdp::new(&mut alice, 1500), EmbassyUdp::new(&mut bob, 1500)).await;
    });
}

/// A stack of embassy-net sends in order, and asks for a link address as long as there is none.
#[test]
fn embassy_net_waits_two_seconds_for_a_neighbour_that_does_not_answer() {
    between_neighbours(async |mut alice, mut bob| {
        let to = |remote| Endpoint { remote, local: None };
        for (round, nobody) in [v4(99), "192.0.2.1:1".parse().unwrap(), v6(99)].iter().enumerate() {
            let honest = vec![7; 10 + round];
            alice.send(to(*nobody), b"nobody is there").await.unwrap();
            let begun = Instant::now();
            let heard = async {
                let mut buf = [0; 100];
                while bob.receive(&mut buf).await.unwrap().0 != honest.len() {}
            };
            let sending = async {
                loop {
                    // It may be refused while the first one waits.
                    let _ = alice.send(to(v4(2)), &honest).await;
                    Timer::after(Duration::from_millis(50)).await;
                }
            };
            or(heard, sending).await;
            let waited = begun.elapsed();
            assert!((1900..4000).contains(&waited.as_millis()), "{nobody}: waited {waited:?}");
        }
    });
}

/// Else whoever knows the board's public key makes it answer addresses where nobody is.
#[test]
fn embassy_net_lets_no_cookie_reply_hold_back_honest_datagrams() {
    between_neighbours(async |mut alice, mut bob| {
        let to = |remote| Endpoint { remote, local: None };
        let cookie_reply = [[3].as_slice(), &[0; 63]].concat();
        alice.send(to(v4(2)), b"where somebody is").await.unwrap();
        let mut buf = [0; 100];
        bob.receive(&mut buf).await.unwrap();

        let mut heard = 0;
        let mut last = Instant::now();
        let mut silence = Duration::ZERO;
        let listen = async {
            loop {
                bob.receive(&mut buf).await.unwrap();
                heard += 1;
                silence = silence.max(last.elapsed());
                last = Instant::now();
            }
        };
        let flood = async {
            for _ in 0..60 {
                for spoofed in 100..110 {
                    // What cannot leave is dropped.
                    let _ = alice.send(to(v4(spoofed)), &cookie_reply).await;
                }
                // At first there is no room for all that waits.
                let _ = alice.send(to(v4(2)), b"honest").await;
                Timer::after(Duration::from_millis(100)).await;
            }
        };
        or(flood, listen).await;
        assert!(heard >= 35, "{heard} of 60 honest datagrams in a flood");
        assert!(silence < Duration::from_secs(2), "silent for {silence:?}");

        // A caller where somebody is gets its cookie, when the flood is over.
        let asks = async {
            loop {
                let _ = alice.send(to(v4(2)), &cookie_reply).await;
                Timer::after(Duration::from_millis(200)).await;
            }
        };
        let gets = async { while bob.receive(&mut buf).await.unwrap().0 != 64 {} };
        or(gets, asks).await;
    });
}

#[test]
fn udp_nal_carries_a_tunnel() {
    for [a, b] in [[v4(1), v4(2)], [v6(1), v6(2)]] {
        over_two_stacks(1500, true, async |one, two| {
            let (mut m1, mut m2) =
                (UdpBuffers::<1, 8, 12000>::new(), UdpBuffers::<1, 8, 12000>::new());
            let (p1, p2) = (UdpPool::new(one, 1500, &mut m1), UdpPool::new(two, 1500, &mut m2));
            let (alice_at, alice) = p1.nal().bind_single(a).await.unwrap();
            assert_eq!(alice_at, a);
            let bob = p2.nal().bind_multiple(b).await.unwrap();
            let pair = Pair { a, b, tells_local: true };
            conformance(pair, &mut CancelSafe::new(alice, a), &mut CancelSafe::new(bob, b)).await;
        });
    }
}

#[test]
fn udp_nals_sockets_return_to_the_pool() {
    over_two_stacks(1500, true, async |one, two| {
        let (mut m1, mut m2) = (UdpBuffers::<2, 4, 4000>::new(), UdpBuffers::<1, 4, 4000>::new());
        let (p1, p2) = (UdpPool::new(one, 1500, &mut m1), UdpPool::new(two, 1500, &mut m2));
        let (nal, server) = (p1.nal(), p2.nal());
        let anywhere: SocketAddr = ([0, 0, 0, 0], 0).into();
        for _ in 0..10 {
            let (at, mut client) = nal.connect(v4(2)).await.unwrap();
            assert_eq!(at.ip(), v4(1).ip());
            let (stranger, mut other) = nal.bind_single(anywhere).await.unwrap();
            assert_eq!(nal.connect(v4(2)).await.err(), Some(UdpNalError::PoolExhausted));
            let mut bound = server.bind_multiple(v4(2)).await.unwrap();
            client.send(b"ask").await.unwrap();
            let mut buf = [0; 100];
            let (len, local, remote) = bound.receive_into(&mut buf).await.unwrap();
            assert_eq!((&buf[..len], local, remote), (&b"ask"[..], v4(2), at));
            // A stranger's datagram is none of the connection's.
            let (_, mut third) = {
                drop(bound);
                server.bind_single(SocketAddr::new(v4(2).ip(), 9)).await.unwrap()
            };
            third.send(SocketAddr::new(v4(2).ip(), 9), at, b"spoof").await.unwrap();
            third.send(SocketAddr::new(v4(2).ip(), 9), stranger, b"hello").await.unwrap();
            assert_eq!(other.receive_into(&mut buf).await.unwrap().0, 5);
            drop(third);
            let mut bound = server.bind_multiple(v4(2)).await.unwrap();
            bound.send(v4(2), at, b"the whole reply").await.unwrap();
            let mut short = [0; 3];
            assert_eq!(client.receive_into(&mut short).await, Ok(15), "cut, and says so");
            assert_eq!(&short, b"the");
            let refused = bound.send(v4(2), at, &[0; 1473]).await;
            let too_long = UnderlayError::TooLong { largest: 1472 };
            assert_eq!(refused, Err(UdpNalError::Send(too_long)));
        }
    });
}
