//! A board with wg-nal, and its gateway: the memory of the tunnel, and the instructions of one
//! post, from waking to sleeping again.
//!
//! A line for each: `bytes NAME BYTES` or `instructions NAME COUNT`. The board's are counted,
//! not the gateway's. `wg-nal/tests/cost_of_a_post.rs` counts the datagrams of the same post.
#![no_std]
#![no_main]
#![allow(unsafe_code, reason = "the entry's name is unmangled")]

use core::cell::RefCell;
use core::convert::Infallible;
use core::fmt::Write;
use core::future::{Future, poll_fn};
use core::net::SocketAddr;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use core::time::Duration;

use size_firmware::board::{Console, Seeded, Taken, instructions};
use wg_core::{
    AllowedIp, Endpoint, Increasing, Instant, PresharedKey, PrivateKey, PublicKey, Source,
};
use wg_nal::{Datagrams, Drbg, Handle, Interface, LinkPolicy, Monotonic, Peer, Resources, Runner};

size_firmware::entry!(run);

type Memory = Resources<'static, 1, 2, 1420, 4, 4>;
type Wall = Increasing<fn() -> Option<Duration>>;
type Board<'w> = Runner<'static, Socket<'w>, Drbg, Wall, Time>;

static BOARD: Taken<Memory> = Taken::new(Resources::new());
static GATEWAY: Taken<Memory> = Taken::new(Resources::new());

/// The inner packets of an HTTP post of 300 bytes and its answer: whether the board sends, and
/// the length.
const POST: [(bool, usize); 7] =
    [(true, 44), (false, 44), (true, 40), (true, 340), (false, 340), (true, 40), (false, 40)];

/// The time, which stands still: nothing of a post waits for a timer.
#[derive(Clone, Copy)]
struct Time;

impl Monotonic for Time {
    fn now(&self) -> Instant {
        Instant::from_secs(1)
    }

    async fn delay_until(&self, _: Instant) {
        core::future::pending().await
    }
}

/// One datagram on its way. No more are in this exchange.
struct Way(RefCell<([u8; 512], usize)>);

impl Way {
    fn empty() -> Self {
        Self(RefCell::new(([0; 512], 0)))
    }

    fn is_empty(&self) -> bool {
        self.0.borrow().1 == 0
    }
}

/// A stack that takes no memory of its own.
struct Socket<'w> {
    sends: &'w Way,
    receives: &'w Way,
    peer: SocketAddr,
}

impl Datagrams for Socket<'_> {
    type Error = Infallible;

    async fn receive(&mut self, buf: &mut [u8]) -> Result<(usize, Source), Infallible> {
        poll_fn(|_| {
            let mut way = self.receives.0.borrow_mut();
            let len = core::mem::take(&mut way.1);
            if len == 0 {
                return Poll::Pending;
            }
            buf[..len].copy_from_slice(&way.0[..len]);
            Poll::Ready(Ok((len, self.peer.into())))
        })
        .await
    }

    async fn send(&mut self, _: Endpoint, datagram: &[u8]) -> Result<(), Infallible> {
        let mut way = self.sends.0.borrow_mut();
        assert_eq!(way.1, 0, "two datagrams in a row");
        way.0[..datagram.len()].copy_from_slice(datagram);
        way.1 = datagram.len();
        Ok(())
    }
}

/// What a board spawns: the runner, and the future of its `run`.
async fn task(mut runner: Board<'_>) {
    runner.run().await;
}

fn tunnel<'w>(
    memory: &'static Taken<Memory>,
    socket: Socket<'w>,
    seed: u32,
) -> (Interface<'static>, Handle<'static, Time>, Board<'w>) {
    let Ok(rng) = Drbg::try_new(&mut Seeded(seed)) else { panic!("the seed is bad") };
    let wall: Wall = Increasing::new(|| Some(Duration::from_secs(1_800_000_000)), None);
    let (mut interface, handle, runner) = wg_nal::new(memory.take(), socket, rng, wall, Time);
    interface.set_link_policy(LinkPolicy::AlwaysUp);
    (interface, handle, runner)
}

fn add_peer(handle: &Handle<'static, Time>, key: &PublicKey, endpoint: Option<SocketAddr>) {
    let added = handle.set_peer(&Peer {
        public_key: key,
        preshared_key: &PresharedKey::NONE,
        endpoint,
        allowed_ips: &AllowedIp::EVERYTHING,
        persistent_keepalive: 0,
    });
    assert!(added.is_ok());
}

/// Twice, because a tunnel that worked for some time lets others have a turn, and goes on then.
fn poll(task: &mut Pin<&mut impl Future<Output = ()>>) -> bool {
    let mut once = || task.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
    once() || once()
}

fn bytes(name: &str, bytes: usize) {
    let _ = writeln!(Console, "bytes {name} {bytes}");
}

fn run() {
    let (out, back) = (Way::empty(), Way::empty());
    let (at_board, at_gateway): (SocketAddr, SocketAddr) =
        (([192, 0, 2, 1], 1).into(), ([192, 0, 2, 2], 2).into());
    let (board_key, gateway_key) =
        (PrivateKey::from_bytes([1; 32]).unwrap(), PrivateKey::from_bytes([2; 32]).unwrap());
    let socket = Socket { sends: &back, receives: &out, peer: at_board };
    let (mut gateway_interface, gateway_handle, gateway) = tunnel(&GATEWAY, socket, 0x1234_5678);
    gateway_handle.set_private_key(Some(&gateway_key));
    add_peer(&gateway_handle, &board_key.public_key(), None);
    let gateway_key = gateway_key.public_key();
    let mut gateway = pin!(task(gateway));

    // From here on, what the board does is counted.
    let mut total = 0_u32;
    let before = instructions();
    let socket = Socket { sends: &out, receives: &back, peer: at_gateway };
    let (mut interface, handle, runner) = tunnel(&BOARD, socket, 0x8765_4321);
    handle.set_private_key(Some(&board_key));
    add_peer(&handle, &gateway_key, Some(at_gateway));
    let board = task(runner);
    let future = size_of_val(&board);
    let mut board = pin!(board);
    poll(&mut board);
    report("start", &mut total, before);
    bytes("runner future", future);
    bytes("resources", size_of::<Memory>());
    bytes("interface", size_of_val(&interface));
    bytes("handle", size_of_val(&handle));

    for (number, (from_board, len)) in POST.into_iter().enumerate() {
        let mut packet = [0x55; 340];
        packet[..20].fill(0);
        packet[0] = 0x45;
        packet[2..4].copy_from_slice(&(len as u16).to_be_bytes());
        let before = instructions();
        if from_board {
            assert_eq!(interface.try_send(&packet[..len]), Ok(true));
            poll(&mut board);
        } else {
            assert_eq!(gateway_interface.try_send(&packet[..len]), Ok(true));
        }
        let mut spent = instructions().wrapping_sub(before);
        // Until nothing is on its way.
        loop {
            poll(&mut gateway);
            if back.is_empty() && out.is_empty() {
                break;
            }
            let before = instructions();
            poll(&mut board);
            spent = spent.wrapping_add(instructions().wrapping_sub(before));
            if back.is_empty() && out.is_empty() {
                break;
            }
        }
        let read = |packet: &mut [u8]| packet.len();
        let before = instructions();
        let arrived = if from_board {
            gateway_interface.try_receive(read)
        } else {
            let arrived = interface.try_receive(read);
            spent = spent.wrapping_add(instructions().wrapping_sub(before));
            arrived
        };
        assert_eq!(arrived, Some(len));
        let _ = writeln!(Console, "instructions packet {number} {spent}");
        total = total.wrapping_add(spent);
    }

    let before = instructions();
    handle.stop();
    assert!(poll(&mut board));
    report("stop", &mut total, before);
    let _ = writeln!(Console, "instructions post {total}");
    let _ = writeln!(Console, "done");
}

fn report(name: &str, total: &mut u32, before: u32) {
    let spent = instructions().wrapping_sub(before);
    let _ = writeln!(Console, "instructions {name} {spent}");
    *total = total.wrapping_add(spent);
}
