//! Many peers at once, and strangers: engines without tunnels, each at an address of its own.

use core::time::Duration;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Instant as Clock, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use wg_core::{
    Device, Ecn, INITIATION_LEN, Increasing, Instant, PrivateKey, PublicKey, Received, Source,
};

/// Where a program under test listens.
const SERVER: ([u8; 4], u16) = ([192, 0, 2, 2], 51820);

/// The address of a client; all of 198.18.0.0/16 is the left end's.
pub(super) fn address(number: usize) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(198, 18, 0, 0)) + number as u32)
}

struct Client {
    device: Device<'static>,
    socket: UdpSocket,
    is_up: bool,
}

/// Does something with sockets of the left end.
pub(super) fn in_left<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let file = std::fs::File::open("/run/netns/left")?;
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
            work()
        });
        thread.join().map_err(|_| anyhow::anyhow!("the thread in the left namespace"))?
    })
}

impl Client {
    fn new(key: &PrivateKey, server: &PublicKey, number: usize) -> Result<Self> {
        // For as long as this program runs.
        let mut device = Device::new(Box::leak(Box::new(wg_core::Storage::<1, 1>::new())));
        device.set_private_key(Instant::ZERO, Some(key));
        let peer = device.add_peer(server).context("the server as a peer")?;
        device.set_endpoint(Instant::ZERO, peer, SERVER.into());
        device.connect(Instant::ZERO, peer);
        let socket = UdpSocket::bind((address(number), 0)).context("an address of the crowd")?;
        socket.connect(SocketAddr::from(SERVER))?;
        socket.set_nonblocking(true)?;
        Ok(Self { device, socket, is_up: false })
    }

    /// Sends what is due, and reads what has come.
    fn drive(&mut self, now: Instant) {
        let rng = &mut UnwrapErr(SysRng);
        let mut buffer = [0; 256];
        while let Ok(len) = self.socket.recv(&mut buffer) {
            let source = Source { remote: SERVER.into(), local: None, ecn: Ecn::NotCapable };
            let datagram = buffer.get_mut(..len).unwrap_or_default();
            if let Ok(Received::Handshake(_)) =
                self.device.handle_datagram(now, rng, source, datagram)
            {
                self.is_up = true;
            }
        }
        if self.device.poll_timeout().is_some_and(|(at, _)| at <= now) {
            self.device.handle_timeout(now);
        }
        while self.device.poll_event().is_some() {}
        let mut buffer = [0; INITIATION_LEN];
        let unix_time = || SystemTime::now().duration_since(UNIX_EPOCH).ok();
        let mut clock = Increasing::new(unix_time, None);
        while let Some(transmit) = self.device.poll_transmit(now, &mut clock, rng, &mut buffer) {
            // What does not fit is lost, as on any network.
            let _ = self.socket.send(transmit.datagram);
        }
    }
}

/// Has all peers call at once, and says how long it took until half and until all had a session,
/// and how many had one at the end.
pub(super) fn storm(
    keys: &[PrivateKey],
    server: &PublicKey,
    patience: Duration,
) -> Result<(Option<Duration>, Duration, usize)> {
    let clients = keys.iter().enumerate().map(|(number, key)| Client::new(key, server, number));
    let mut clients = clients.collect::<Result<Vec<_>>>()?;
    let start = Clock::now();
    let now = |start: Clock| Instant::from_micros(start.elapsed().as_micros() as u64 + 1);
    let mut half = None;
    loop {
        for client in &mut clients {
            client.drive(now(start));
        }
        let up = clients.iter().filter(|client| client.is_up).count();
        if up * 2 >= clients.len() && half.is_none() {
            half = Some(start.elapsed());
        }
        if up == clients.len() || start.elapsed() > patience {
            return Ok((half, start.elapsed(), up));
        }
    }
}

/// Initiations of strangers, with a right mac1, as many a second as told, for so long; says how many
/// were sent.
pub(super) fn flood(server: &PublicKey, per_second: u32, time: Duration) -> Result<u64> {
    const STRANGERS: usize = 64;
    let rng = &mut UnwrapErr(SysRng);
    let mut calls = Vec::new();
    for number in 0..STRANGERS {
        let mut stranger = Client::new(&PrivateKey::generate(rng), server, 60_000 + number)?;
        let unix_time = || SystemTime::now().duration_since(UNIX_EPOCH).ok();
        let mut clock = Increasing::new(unix_time, None);
        let mut buffer = [0; INITIATION_LEN];
        let call = stranger.device.poll_transmit(Instant::ZERO, &mut clock, rng, &mut buffer);
        drop(call.context("a stranger's call")?);
        calls.push((stranger.socket, buffer));
    }
    let (start, mut sent) = (Clock::now(), 0u64);
    let mut turns = calls.iter().cycle();
    while start.elapsed() < time {
        let due = (start.elapsed().as_secs_f64() * f64::from(per_second)) as u64;
        while sent < due {
            if let Some((socket, call)) = turns.next() {
                let _ = socket.send(call);
            }
            sent += 1;
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    Ok(sent)
}
