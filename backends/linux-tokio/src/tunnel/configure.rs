//! What others ask of a tunnel while it runs.

use core::time::Duration;
use std::io;
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use wg_core::{AddPeerError, Connection, Device, Instant};
use zeroize::Zeroizing;

use super::Tunnel;
use crate::error::Error;
use crate::handle::{Command, PeerConfig, Status};
use crate::packets::Packets;
use crate::uapi::{Known, PeerChange, Transaction, describe};
use crate::underlay::Underlay;

/// Opens the sockets.
pub(super) fn open(port: u16, fw_mark: u32) -> Result<Underlay, Error> {
    Underlay::bind(port, fw_mark).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => Error::PortInUse(port),
        io::ErrorKind::PermissionDenied if fw_mark != 0 => Error::Mark(error),
        _ => Error::Sockets(error),
    })
}

impl<P: Packets> Tunnel<P> {
    pub(super) fn obey(&mut self, now: Instant, command: Command) {
        // Whoever asked may not be interested in the answer any more.
        match command {
            Command::Status(answer) => drop(answer.send(self.status(now))),
            Command::SetPeer(peer, answer) => drop(answer.send(self.set_peer(now, &peer))),
            Command::RemovePeer(key, answer) => {
                let mut device = self.engine.lock();
                if let Some(peer) = device.find_peer(&key) {
                    device.remove_peer(peer);
                }
                drop(device);
                self.forget_removed(now);
                let _ = answer.send(());
            }
            Command::SetEndpoint(key, at, answer) => {
                let mut device = self.engine.lock();
                if let Some(peer) = device.find_peer(&key) {
                    device.set_endpoint(now, peer, at);
                }
                drop(device);
                let _ = answer.send(());
            }
            Command::SetMtu(mtu, answer) => {
                if mtu != self.mtu {
                    self.mtu = mtu;
                    // Their room is for another length.
                    self.departing.clear();
                    self.engine.lock().set_mtu(mtu);
                }
                let _ = answer.send(());
            }
            Command::ForgetSessions(answer) => {
                self.forget_sessions(now);
                let _ = answer.send(());
            }
            Command::SetUp(is_up, answer) => drop(answer.send(self.set_up(now, is_up))),
            Command::Describe(answer) => drop(answer.send(self.describe(now))),
            Command::Configure(transaction, answer) => {
                let _ = answer.send(self.configure(now, &transaction));
            }
            Command::Stop => {}
        }
        self.drain(now);
    }

    /// Wipes all session keys. Who had a session is called, as it would not notice for a while;
    /// what waited for one goes on waiting.
    pub(super) fn forget_sessions(&mut self, now: Instant) {
        let mut device = self.engine.lock();
        if !device.is_up() {
            return;
        }
        let peers: Vec<_> = device.peers().collect();
        let mut had_one = peers.clone();
        had_one.retain(|id| {
            device.peer(now, *id).is_some_and(|peer| peer.connection == Connection::Up)
        });
        device.down();
        device.up(now);
        for peer in had_one {
            device.connect(now, peer);
        }
        drop(device);
        for peer in peers {
            self.send_what_waits(now, peer);
        }
        self.drain(now);
    }

    pub(super) fn set_peer(
        &mut self,
        now: Instant,
        config: &PeerConfig,
    ) -> Result<(), AddPeerError> {
        let mut device = self.engine.lock();
        let peer = device.add_peer(&config.public_key)?;
        device.set_preshared_key(peer, &config.preshared_key);
        if let Some(endpoint) = config.endpoint {
            device.set_endpoint(now, peer, endpoint);
        }
        device.remove_allowed_ips(peer);
        for prefix in &config.allowed_ips {
            device.add_allowed_ip(peer, *prefix).map_err(|_| AddPeerError::Full)?;
        }
        device.set_persistent_keepalive(now, peer, config.persistent_keepalive);
        Ok(())
    }

    fn set_up(&mut self, now: Instant, is_up: bool) -> Result<(), Error> {
        if is_up == self.engine.lock().is_up() {
            return Ok(());
        }
        if is_up {
            self.underlay = open(self.underlay.port(), self.fw_mark)?;
            self.engine.lock().up(now);
            log::info!("listening on UDP port {}", self.underlay.port());
        } else {
            self.engine.lock().down();
            self.waiting.retain(|_| false);
            self.underlay = Underlay::closed(self.underlay.port());
        }
        Ok(())
    }

    fn status(&self, now: Instant) -> Status {
        let device = self.engine.lock();
        Status {
            at: now,
            public_key: device.public_key(),
            listen_port: self.underlay.port(),
            peers: device.peers().filter_map(|id| device.peer(now, id)).collect(),
            refusals: *device.refusals(),
            waited_in_vain: self.waiting.dropped(),
            handshakes: self.sessions_up,
            packets_waiting: self.waiting.count() as u64,
            calls_waiting: self.calls.count() as u64,
            calls_dropped: self.calls.dropped(),
        }
    }

    fn describe(&mut self, now: Instant) -> Zeroizing<String> {
        let said = core::mem::take(&mut self.handshakes);
        let device = self.engine.lock();
        for id in device.peers() {
            let Some(at) = device.peer(now, id).and_then(|peer| peer.last_handshake) else {
                continue;
            };
            let same = said.get(&id).filter(|(of, _)| *of == at);
            let time = same.copied().unwrap_or_else(|| (at, since_1970(now, at)));
            self.handshakes.insert(id, time);
        }
        let known = Known {
            handshakes: &self.handshakes,
            listen_port: self.underlay.port(),
            fw_mark: self.fw_mark,
        };
        describe(&device, now, &known)
    }

    /// Changes all that a transaction says. What can fail comes first, and changes nothing then.
    fn configure(&mut self, now: Instant, transaction: &Transaction) -> Result<(), Errno> {
        self.configure_sockets(now, transaction).map_err(|error| {
            log::warn!("cannot change the sockets: {error}");
            match error {
                Error::PortInUse(_) => Errno::EADDRINUSE,
                Error::Mark(error) | Error::Sockets(error) => {
                    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
                }
                _ => Errno::EIO,
            }
        })?;
        let mut device = self.engine.lock();
        if let Some(key) = &transaction.private_key {
            device.set_private_key(now, key.as_ref());
        }
        if transaction.replace_peers {
            device.retain_peers([]);
        }
        for change in &transaction.peers {
            change_peer(&mut device, now, change);
        }
        drop(device);
        self.forget_removed(now);
        Ok(())
    }

    fn configure_sockets(&mut self, now: Instant, transaction: &Transaction) -> Result<(), Error> {
        let port = transaction.listen_port.unwrap_or_else(|| self.underlay.port());
        let mark = transaction.fw_mark.unwrap_or(self.fw_mark);
        if (port, mark) == (self.underlay.port(), self.fw_mark) {
            return Ok(());
        }
        if !self.underlay.is_open() {
            self.underlay = Underlay::closed(port);
        } else if port == self.underlay.port() {
            self.underlay.set_mark(mark, self.fw_mark).map_err(Error::Mark)?;
        } else {
            self.underlay = open(port, mark)?;
            log::info!("listening on UDP port {}", self.underlay.port());
        }
        self.fw_mark = mark;
        // Datagrams may take another way, on which the address that we were called by is wrong.
        let mut device = self.engine.lock();
        let peers: Vec<_> = device.peers().collect();
        for peer in peers {
            if let Some(at) = device.endpoint(peer) {
                device.set_endpoint(now, peer, at);
            }
        }
        Ok(())
    }

    /// Lets the system choose the address that datagrams to there leave from.
    pub(super) fn forget_source(&mut self, now: Instant, remote: SocketAddr) {
        let mut device = self.engine.lock();
        let peers: Vec<_> = device.peers().collect();
        for peer in peers {
            if device.endpoint(peer) == Some(remote) {
                device.set_endpoint(now, peer, remote);
            }
        }
    }

    /// Drops what is left of peers that are not there any more.
    fn forget_removed(&mut self, now: Instant) {
        let device = self.engine.lock();
        let is_there = |peer| device.peer(now, peer).is_some();
        self.waiting.retain(is_there);
        self.journal.retain(is_there);
    }
}

fn change_peer(device: &mut Device<'_>, now: Instant, change: &PeerChange) {
    let peer = match device.find_peer(&change.public_key) {
        Some(peer) if change.remove => return device.remove_peer(peer),
        Some(peer) => peer,
        None if change.remove || change.update_only => return,
        // Our own key is silently no peer; memory grows.
        None => match device.add_peer(&change.public_key) {
            Ok(peer) => peer,
            Err(_) => return,
        },
    };
    if let Some(preshared) = &change.preshared_key {
        device.set_preshared_key(peer, preshared);
    }
    if change.replace_allowed_ips {
        device.remove_allowed_ips(peer);
    }
    for &(prefix, adds) in &change.allowed_ips {
        if !adds {
            device.remove_allowed_ip(peer, prefix);
        } else if let Err(error) = device.add_allowed_ip(peer, prefix) {
            log::error!("cannot add {prefix}: {error}");
        }
    }
    if let Some(endpoint) = change.endpoint {
        device.set_endpoint(now, peer, endpoint);
    }
    if let Some(seconds) = change.persistent_keepalive {
        device.set_persistent_keepalive(now, peer, seconds);
    }
}

/// The time of day of an instant in the past.
fn since_1970(now: Instant, then: Instant) -> Duration {
    let today = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    today.saturating_sub(now.saturating_since(then))
}
