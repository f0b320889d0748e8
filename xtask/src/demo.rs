//! `cargo xtask demo`: a device talks through a tunnel, and one sees what happened.

mod http;
mod proxy;

use core::net::IpAddr;
use core::time::Duration;
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Args;
use getrandom::{SysRng, rand_core::UnwrapErr};
use wg_core::{PresharedKey, PrivateKey};

use crate::board::{self, World};
use crate::interop::{KERNEL_INNER, MTU, OUR_INNER, Scene, Tunnel};
use crate::kernel::Image;
use crate::lan::{Datagram, Inner};
use crate::peer::{Driver, FileClock, Peer, PeerConfig, Underlay};
use crate::setup;
use http::{Post, Server};

/// Post an uptime by HTTP through a WireGuard tunnel, and print what happened.
///
/// A device and a gateway, two engines of wg-core, talk over real UDP on this machine's
/// loopback. Needs nothing but Rust.
#[derive(Args)]
pub(crate) struct Demo {
    /// The gateway is a Linux kernel's WireGuard, booted in an emulator.
    #[arg(long)]
    kernel: bool,
    /// The device is an emulated board, which posts its uptime by HTTP through the tunnel; the
    /// gateway is the Linux kernel's WireGuard in another emulator.
    #[arg(long, value_name = "BOARD", value_enum)]
    board: Option<board::Kind>,
    /// The device is this machine: `wg-tokio proxy`, and curl. The gateway is the Linux kernel's
    /// WireGuard in an emulator, on a TAP interface in a network namespace.
    #[arg(long, conflicts_with_all = ["kernel", "board"])]
    proxy: bool,
}

const PINGS: u16 = 5;
const POSTS: usize = 3;
const DEVICE: IpAddr = OUR_INNER[0];
const GATEWAY: IpAddr = KERNEL_INNER[0];
/// Loopback needs a millisecond; an emulated kernel on a busy machine much more.
const PATIENCE: Duration = Duration::from_secs(5);

impl Demo {
    pub(crate) fn run(&self) -> Result<()> {
        if self.proxy {
            proxy::show()
        } else if let Some(kind) = self.board {
            show_board(kind)
        } else if self.kernel {
            setup::require(setup::KERNEL)?;
            let image = Image::build()?;
            let start = Instant::now();
            let mut scene = Scene::new(&image, "demo", None)?;
            println!("a Linux kernel booted in {:.1} s", start.elapsed().as_secs_f64());
            let tunnel = Tunnel::fresh();
            scene.set_up(&tunnel)?;
            println!("device   {DEVICE} inside, {} outside", scene.device().local);
            println!("kernel   {GATEWAY} inside, {} outside", tunnel.kernel_endpoint());
            scene.run(http::KERNEL_SERVER)?;
            talk(&mut scene)?;
            println!("the kernel's HTTP server got:\n{}", scene.run("cat /tmp/posts")?.trim());
            println!("the kernel says:\n{}", scene.run("wg show wg0")?.trim());
            Ok(())
        } else {
            let mut loopback = Loopback::new()?;
            println!("device   {DEVICE} inside, {} outside", loopback.device.local);
            println!("gateway  {GATEWAY} inside, {} outside", loopback.gateway.local);
            talk(&mut loopback)?;
            let gateway = &loopback.gateway;
            println!(
                "the gateway received {} bytes, sent {}, and learnt where the device is: {}",
                gateway.received_bytes(),
                gateway.sent_bytes(),
                gateway.endpoint().map_or_else(|| "nowhere".into(), |at| at.to_string()),
            );
            Ok(())
        }
    }
}

/// How many posts of a board are shown.
const BOARD_POSTS: usize = 10;

/// A board posts its uptime through the tunnel, and the kernel tells what it got.
fn show_board(kind: board::Kind) -> Result<()> {
    setup::require(setup::KERNEL)?;
    setup::require(kind.needs())?;
    let firmware = board::Firmware::build(kind, board::Language::Rust)?;
    let image = Image::build()?;
    let mut world = World::new(&image, &format!("demo-{}", kind.name()), None)?;
    world.echo = true;
    world.set_up(&firmware, &Tunnel::fresh())?;
    let start = world.told();
    world.until("ten posts", Duration::from_secs(60), |world| {
        let posts = world.since(start).iter().filter(|line| line.starts_with("posted"));
        Ok(posts.count() >= BOARD_POSTS)
    })?;
    println!("the kernel's HTTP server got:\n{}", world.run("cat /tmp/posts")?.trim());
    println!("the kernel says:\n{}", world.run("wg show wg0")?.trim());
    Ok(())
}

/// A device, and whatever is at the other end of its tunnel.
trait Link {
    fn device(&mut self) -> &mut Peer;
    /// Lets both ends do what is due.
    fn work(&mut self) -> Result<()>;
    /// Waits a little, for something to become due.
    fn wait(&mut self) -> Result<()>;
}

/// Pings and posts through the tunnel. The first ping asks for the session.
fn talk(link: &mut impl Link) -> Result<()> {
    let started = Instant::now();
    let mut session_at = None;
    let mut times = Vec::new();
    for sequence in 1..=PINGS {
        let sent = Instant::now();
        link.device().inner.ping(GATEWAY, sequence, 56)?;
        until(link, |device| {
            if session_at.is_none() && device.has_session() {
                session_at = Some(Instant::now());
                println!("session  up {} after the first packet asked for it", since(started));
            }
            let echo = device.inner.next_echo();
            Ok(echo.filter(|echo| echo.sequence == sequence).map(|_| ()))
        })
        .with_context(|| format!("ping {sequence} is lost"))?;
        times.push(sent.elapsed());
    }
    let fastest = times.iter().min().map_or(0.0, |time| time.as_secs_f64() * 1000.0);
    println!("pings    {PINGS} of {PINGS} answered, the fastest in {fastest:.2} ms");

    for number in 1..=POSTS {
        let sent = Instant::now();
        let body = format!(r#"{{"uptime_ms":{}}}"#, started.elapsed().as_millis());
        let mut post = Post::begin(&mut link.device().inner, GATEWAY, &body)?;
        let answer = until(link, |device| post.poll(&mut device.inner))
            .with_context(|| format!("post {number} is lost"))?;
        println!("post {number}   {body} in {}: {answer}", since(sent));
    }
    let device = link.device();
    println!(
        "the device sent {} bytes and received {}, handshake included; {}",
        device.sent_bytes(),
        device.received_bytes(),
        device.refusals()
    );
    Ok(())
}

/// Lets both ends work until there is an answer.
fn until<A>(
    link: &mut impl Link,
    mut answer: impl FnMut(&mut Peer) -> Result<Option<A>>,
) -> Result<A> {
    let start = Instant::now();
    loop {
        link.work()?;
        if let Some(answer) = answer(link.device())? {
            return Ok(answer);
        }
        let refusals = link.device().refusals();
        ensure!(start.elapsed() < PATIENCE, "no answer in {PATIENCE:?}; {refusals}");
        link.wait()?;
    }
}

fn since(start: Instant) -> String {
    format!("{:.2} ms", start.elapsed().as_secs_f64() * 1000.0)
}

impl Link for Scene {
    fn device(&mut self) -> &mut Peer {
        self.peer()
    }

    fn work(&mut self) -> Result<()> {
        self.work()
    }

    fn wait(&mut self) -> Result<()> {
        self.wait(Instant::now() + Duration::from_millis(20))
    }
}

/// Two engines in this process.
struct Loopback {
    device: Peer,
    device_socket: UdpSocket,
    gateway: Peer,
    gateway_socket: UdpSocket,
    server: Server,
}

impl Loopback {
    fn new() -> Result<Self> {
        let mut rng = UnwrapErr(SysRng);
        let device_key = PrivateKey::generate(&mut rng);
        let gateway_key = PrivateKey::generate(&mut rng);
        let (device_socket, gateway_socket) = (socket()?, socket()?);
        let device = PeerConfig {
            their_key: gateway_key.public_key(),
            private_key: device_key.clone(),
            preshared_key: PresharedKey::NONE,
            local: device_socket.local_addr()?,
            // Only the device knows whom to call; the gateway learns from the call.
            remote: Some(gateway_socket.local_addr()?),
            allowed_ips: vec![GATEWAY],
        };
        let gateway = PeerConfig {
            their_key: device_key.public_key(),
            private_key: gateway_key,
            preshared_key: PresharedKey::NONE,
            local: gateway_socket.local_addr()?,
            remote: None,
            allowed_ips: vec![DEVICE],
        };
        let mut inside = Inner::new(&[GATEWAY], MTU);
        let server = Server::listen(&mut inside)?;
        Ok(Self {
            device: peer(&device, DEVICE)?,
            device_socket,
            gateway: Peer::new(Driver::Engine, &gateway, inside, FileClock::wall())?,
            gateway_socket,
            server,
        })
    }
}

impl Link for Loopback {
    fn device(&mut self) -> &mut Peer {
        &mut self.device
    }

    fn work(&mut self) -> Result<()> {
        self.device.step(&mut self.device_socket)?;
        self.gateway.step(&mut self.gateway_socket)?;
        self.server.poll(&mut self.gateway.inner)
    }

    fn wait(&mut self) -> Result<()> {
        std::thread::sleep(Duration::from_micros(50));
        Ok(())
    }
}

fn peer(config: &PeerConfig, address: IpAddr) -> Result<Peer> {
    Peer::new(Driver::Engine, config, Inner::new(&[address], MTU), FileClock::wall())
}

fn socket() -> Result<UdpSocket> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

impl Underlay for UdpSocket {
    fn send(&mut self, datagram: &Datagram) -> Result<()> {
        self.send_to(&datagram.payload, datagram.to)?;
        Ok(())
    }

    fn receive(&mut self) -> Result<Option<Datagram>> {
        let mut buffer = [0; 2048];
        match self.recv_from(&mut buffer) {
            Ok((length, from)) => Ok(Some(Datagram {
                from,
                to: self.local_addr()?,
                // The standard library does not tell it.
                traffic_class: 0,
                payload: buffer[..length].to_vec(),
            })),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
