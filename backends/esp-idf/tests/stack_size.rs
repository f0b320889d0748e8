//! How much stack the tunnel's thread needs, on a 32-bit machine, with lwIP in it.
//!
//! `cargo xtask lwip` builds it as firmware is built, and runs it: the stack is painted at the
//! tunnel's start, and looked at in the end. Of what was used, that of a thread that does nothing is
//! taken off: here it is 3 KB of the C library's own.
#![cfg(all(wg_host_lwip, target_pointer_width = "32"))]
#![allow(unsafe_code)] // A stack is looked at. What is not here is in the module `stack`.

mod gateway;
#[path = "lwip/stack.rs"]
mod stack;

use core::time::Duration;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use gateway::{Gateway, wait_for};
use stack::{Nvs, Socket, Stack};
use wg_esp_idf::wg_core::Refusal;
use wg_esp_idf::{
    Error, Host, Inside, Netif, NvsStore, STACK_SIZE, Tunnel, Underlay, kept_clock, random,
};

/// What the thread may use here, in bytes. What is left of `STACK_SIZE` is for what is not here:
/// the console's printf, ESP-IDF's NVS and the drivers beneath lwIP.
const BOUND: usize = STACK_SIZE / 2;

const COLOUR: u8 = 0xa5;
/// Beneath the frame that paints, so that it does not paint itself.
const OWN_FRAMES: usize = 512;

/// The stack of a thread, painted where it was not used yet.
struct Paint {
    lowest: usize,
    highest: usize,
}

impl Paint {
    /// Paints the stack of this thread.
    #[inline(never)]
    fn new() -> Self {
        let (lowest, highest) = stack_of_this_thread();
        for address in lowest..here() - OWN_FRAMES {
            // SAFETY: of this thread's stack, and below everything that is in use.
            unsafe { (address as *mut u8).write_volatile(COLOUR) };
        }
        Self { lowest, highest }
    }

    /// How much was ever used, with what the C library keeps at the stack's top.
    fn used(&self) -> usize {
        // SAFETY: of this thread's stack.
        let is_clean =
            |&address: &usize| unsafe { (address as *const u8).read_volatile() } == COLOUR;
        self.highest - self.lowest - (self.lowest..self.highest).take_while(is_clean).count()
    }
}

/// From where to where it goes.
fn stack_of_this_thread() -> (usize, usize) {
    // SAFETY: the thread's own attributes are written, read and given back.
    unsafe {
        let mut attributes = core::mem::zeroed();
        assert_eq!(libc::pthread_getattr_np(libc::pthread_self(), &raw mut attributes), 0);
        let (mut lowest, mut size) = (core::ptr::null_mut(), 0);
        libc::pthread_attr_getstack(&raw const attributes, &raw mut lowest, &raw mut size);
        libc::pthread_attr_destroy(&raw mut attributes);
        (lowest as usize, lowest as usize + size)
    }
}

/// About where this thread's stack ends now.
#[inline(never)]
fn here() -> usize {
    let local = 0_u8;
    (&raw const local) as usize
}

/// What a thread takes that does nothing.
fn used_by_nothing() -> usize {
    std::thread::spawn(|| stack_of_this_thread().1 - here()).join().unwrap()
}

/// lwIP's interface. For each packet it also sends one by lwIP, as the tunnel's own sockets do on
/// a chip.
struct Watched {
    netif: Netif,
    underlay: Socket,
    paint: Paint,
    used: Sender<usize>,
}

impl Inside for Watched {
    fn deliver(&mut self, packet: &[u8]) -> bool {
        let _ = self.underlay.send(packet);
        self.netif.deliver(packet)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.used.send(self.paint.used()).unwrap();
    }
}

/// Formats a line, as every log does.
struct Log;

impl log::Log for Log {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        std::hint::black_box(format!("{} {}", record.level(), record.args()));
    }

    fn flush(&self) {}
}

#[test]
fn half_of_the_stack_is_enough_for_the_tunnel_and_lwip() {
    static LOG: Log = Log;
    log::set_logger(&LOG).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    let (stack, gateway) = (Stack::lock(), Gateway::start());
    let _nvs = Nvs::empty(&stack);
    let (report, used) = channel();
    let mut settings = gateway.settings(&["0.0.0.0/0", "fd09::/64"]);
    settings.default_route = true;
    settings.peers[0].endpoint = Some(Host { name: "nowhere.invalid".into(), port: 1 });
    let clock = kept_clock(NvsStore::new("wireguard").unwrap());
    let mut tunnel =
        Tunnel::start_with(settings, clock, random().unwrap(), move |settings, outbound| {
            let paint = Paint::new();
            let underlay = Stack::socket_by_wifi();
            let netif = Netif::add(settings, Arc::clone(&outbound)).map_err(Error::Netif)?;
            Ok(Watched { netif, underlay, paint, used: report })
        })
        .unwrap();

    // A call that has no way, one that is answered, and traffic of both kinds and families.
    let udp = stack.udp("10.9.0.1", 7, 200).unwrap();
    let _ = udp.send(b"nobody");
    wait_for("the reason", || tunnel.status().unwrap().refusals.count(Refusal::NoEndpoint) > 0);
    let place = Host { name: "127.0.0.1".into(), port: gateway.address.port() };
    tunnel.set_endpoint(gateway.key, place).unwrap();
    let mut buffer = [0; 2048];
    wait_for("an echo", || udp.send(&[7; 1300]).is_ok() && udp.receive(&mut buffer).is_ok());
    for address in ["10.9.0.1", "fd09::1"] {
        let tcp = stack.tcp(address, 7).unwrap();
        for _ in 0..50 {
            tcp.send(&[5; 1000]).unwrap();
            let mut rest = 1000;
            while rest > 0 {
                rest -= tcp.receive(&mut buffer).unwrap();
            }
        }
    }
    // Garbage and lines about it, another underlay, and a call from the other end.
    let stranger = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..10 {
        let port = tunnel.status().unwrap().listen_port;
        stranger.send_to(&[9; 200], ("127.0.0.1", port)).unwrap();
    }
    assert!(tunnel.set_underlay(Underlay::Interface("gone7".into())).is_err());
    gateway.call();
    let births = || tunnel.status().unwrap().peers[0].session_birth;
    let first = births();
    wait_for("the gateway's session", || births() != first);
    std::thread::sleep(Duration::from_millis(100));
    tunnel.stop();

    let used = used.recv().unwrap() - used_by_nothing();
    println!("the tunnel's thread used {used} of {STACK_SIZE} bytes of stack");
    assert!(used <= BOUND, "{used} bytes, more than {BOUND}");
}
