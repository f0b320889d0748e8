//! A soak over the system's sockets, in real time: 2 seconds, or as many as `SOAK_SECONDS` says.
//!
//! Two tunnels over loopback, with packets of random sizes both ways all the while. Every second
//! one of them is stopped and run again, or its socket is bound to another port, as when a
//! NAT forgets.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::time::{Duration, Instant as RealInstant};

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use embedded_nal_async::UdpStack;
use futures_lite::future::{block_on, or, yield_now, zip};
use wg_core::{Endpoint, Increasing, Instant, PresharedKey, PrivateKey, Source};
use wg_nal::{
    CancelSafe, Counters, Datagrams, Handle, Interface, LinkPolicy, Monotonic, Peer, Resources,
};

#[derive(Clone, Copy)]
struct Uptime;

impl Monotonic for Uptime {
    fn now(&self) -> Instant {
        static START: std::sync::OnceLock<RealInstant> = std::sync::OnceLock::new();
        Instant::from_micros(START.get_or_init(RealInstant::now).elapsed().as_micros() as u64)
    }

    async fn delay_until(&self, at: Instant) {
        async_io::Timer::after(at.saturating_since(self.now())).await;
    }
}

type Bound = <std_embedded_nal_async::Stack as UdpStack>::UniquelyBound;

/// A socket that can be exchanged for one on another port.
struct Moving {
    socket: CancelSafe<Bound>,
    moves: std::rc::Rc<Cell<bool>>,
}

impl Moving {
    async fn bind() -> (SocketAddr, CancelSafe<Bound>) {
        let stack = std_embedded_nal_async::Stack::default();
        let anywhere = "127.0.0.1:0".parse().unwrap();
        let (local, socket) = stack.bind_single(anywhere).await.unwrap();
        (local, CancelSafe::new(socket, local))
    }
}

impl Datagrams for Moving {
    type Error = <CancelSafe<Bound> as Datagrams>::Error;

    async fn receive(&mut self, buf: &mut [u8]) -> Result<(usize, Source), Self::Error> {
        self.socket.receive(buf).await
    }

    async fn send(&mut self, to: Endpoint, datagram: &[u8]) -> Result<(), Self::Error> {
        if self.moves.take() {
            self.socket = Self::bind().await.1;
        }
        self.socket.send(to, datagram).await
    }
}

fn packet(rng: &mut ChaCha20Rng, number: u32) -> Vec<u8> {
    let len = 24 + (rng.next_u32() % 1397) as u16;
    let mut packet = vec![number as u8; len.into()];
    packet[..20].copy_from_slice(b"\x45\0\0\0\0\0\0\0\x40\x63\0\0\x0a\0\0\x01\x0a\0\0\x02");
    packet[2..4].copy_from_slice(&len.to_be_bytes());
    packet[20..24].copy_from_slice(&number.to_be_bytes());
    packet
}

/// What one side sent and received.
#[derive(Default)]
struct Tally {
    sent: Cell<u32>,
    received: Cell<u32>,
    /// The longest silence, since the last packet that came.
    silence: Cell<Duration>,
}

/// Sends and checks packets, for ever.
async fn talk(interface: &mut Interface<'static>, tally: &Tally, seed: u8) {
    let mut rng = ChaCha20Rng::from_seed([seed; 32]);
    let mut last = RealInstant::now();
    loop {
        let sent = packet(&mut rng, tally.sent.get());
        interface.send(&sent).await.unwrap();
        tally.sent.update(|n| n + 1);
        yield_now().await;
        while interface
            .try_receive(|packet| {
                let number: [u8; 4] = packet[20..24].try_into().unwrap();
                let filling = u32::from_be_bytes(number) as u8;
                assert!(packet[24..].iter().all(|byte| *byte == filling));
            })
            .is_some()
        {
            tally.silence.set(tally.silence.get().max(last.elapsed()));
            last = RealInstant::now();
            tally.received.update(|n| n + 1);
        }
    }
}

fn side(
    [ours, theirs]: [u8; 2],
    underlay: Moving,
    endpoint: SocketAddr,
) -> (Interface<'static>, Handle<'static, Uptime>, impl Future<Output = ()>) {
    let resources: &mut Resources<'_, 1, 1> = Box::leak(Box::new(Resources::new()));
    let clock = Increasing::new(|| std::time::SystemTime::UNIX_EPOCH.elapsed().ok(), None);
    let rng = ChaCha20Rng::from_seed([ours + 10; 32]);
    let (mut interface, handle, mut runner) = wg_nal::new(resources, underlay, rng, clock, Uptime);
    interface.set_link_policy(LinkPolicy::AlwaysUp);
    handle.set_private_key(Some(&key(ours)));
    let peer = Peer {
        public_key: &key(theirs).public_key(),
        preshared_key: &PresharedKey::NONE,
        endpoint: Some(endpoint),
        allowed_ips: &["0.0.0.0/0".parse().unwrap()],
        persistent_keepalive: 0,
    };
    handle.set_peer(&peer).unwrap();
    let run = async move {
        loop {
            runner.run().await;
        }
    };
    (interface, handle, run)
}

fn key(seed: u8) -> PrivateKey {
    PrivateKey::generate(&mut ChaCha20Rng::from_seed([seed; 32]))
}

#[test]
fn packets_flow_while_tunnels_stop_and_sockets_move() {
    let seconds = std::env::var("SOAK_SECONDS").ok().and_then(|text| text.parse().ok());
    let seconds: u64 = seconds.unwrap_or(2);
    let [at_a, at_b] = [Tally::default(), Tally::default()];
    let counters = RefCell::new([Counters::default(); 2]);
    let troubles = Cell::new(0);
    block_on(async {
        let ((a, socket_a), (b, socket_b)) = zip(Moving::bind(), Moving::bind()).await;
        let [moves_a, moves_b] = [(), ()].map(|()| std::rc::Rc::new(Cell::new(false)));
        let underlay = Moving { socket: socket_a, moves: moves_a.clone() };
        let (mut in_a, handle_a, run_a) = side([1, 2], underlay, b);
        let underlay = Moving { socket: socket_b, moves: moves_b.clone() };
        let (mut in_b, handle_b, run_b) = side([2, 1], underlay, a);
        let trouble = async {
            let mut rng = ChaCha20Rng::from_seed([9; 32]);
            for _ in 0..seconds {
                async_io::Timer::after(Duration::from_secs(1)).await;
                troubles.update(|n| n + 1);
                match rng.next_u32() % 4 {
                    0 => handle_a.stop(),
                    1 => handle_b.stop(),
                    2 => moves_a.set(true),
                    _ => moves_b.set(true),
                }
            }
            // A stopped session is noticed after 15 s of silence at the latest.
            let received = (at_a.received.get(), at_b.received.get());
            let since = RealInstant::now();
            while at_a.received.get() < received.0 + 100 || at_b.received.get() < received.1 + 100 {
                async_io::Timer::after(Duration::from_millis(10)).await;
                assert!(since.elapsed() < Duration::from_secs(20), "packets do not flow again");
            }
            counters.replace([handle_a.counters(), handle_b.counters()]);
        };
        let talking = zip(talk(&mut in_a, &at_a, 3), talk(&mut in_b, &at_b, 4));
        let running = zip(run_a, run_b);
        or(trouble, async {
            zip(talking, running).await;
        })
        .await;
    });
    for (name, tally, counters) in
        [("a", &at_a, counters.borrow()[0]), ("b", &at_b, counters.borrow()[1])]
    {
        let (sent, received) = (tally.sent.get(), tally.received.get());
        println!(
            "{name}: {sent} sent, {received} received, silent for {:?} at most; {counters:?}",
            tally.silence.get()
        );
        assert!(received > 100 && counters.receive_errors == 0 && counters.too_long == 0);
        assert!(tally.silence.get() < Duration::from_secs(20));
    }
    assert_eq!(troubles.get(), seconds);
}
