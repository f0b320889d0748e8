//! Control over a running tunnel, from anywhere in the program.

use core::fmt;
use std::net::SocketAddr;

use nix::errno::Errno;
use tokio::sync::{mpsc, oneshot};
use wg_core::{AddPeerError, AllowedIp, Instant, PeerStatus, PresharedKey, PublicKey, Refusals};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::uapi::Transaction;

/// One peer as it should be.
#[derive(Clone, Debug)]
pub struct PeerConfig {
    /// Its name in the protocol.
    pub public_key: PublicKey,
    /// The key that both sides share besides, or [`PresharedKey::NONE`].
    pub preshared_key: PresharedKey,
    /// Where it is; `None` when it is to come to us.
    pub endpoint: Option<SocketAddr>,
    /// Seconds after which an idle path is kept open with a packet, 0 for never.
    pub persistent_keepalive: u16,
    /// The inner addresses behind it.
    pub allowed_ips: Vec<AllowedIp>,
}

impl PeerConfig {
    /// A peer of which nothing but the public key is known.
    pub fn new(public_key: PublicKey) -> Self {
        Self {
            public_key,
            preshared_key: PresharedKey::NONE,
            endpoint: None,
            persistent_keepalive: 0,
            allowed_ips: Vec::new(),
        }
    }
}

/// A tunnel and its peers as they are now.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Status {
    /// When this was, by [`now`](crate::now): what the other times are to be compared with.
    pub at: Instant,
    /// Our own public key, unless there is none.
    pub public_key: Option<PublicKey>,
    /// The UDP port of our sockets.
    pub listen_port: u16,
    /// The peers, in no particular order.
    pub peers: Vec<PeerStatus>,
    /// What was refused, by reason, peers and strangers together.
    pub refusals: Refusals,
    /// Packets that waited for a session and were dropped.
    pub waited_in_vain: u64,
    /// Sessions that came up, over all peers.
    pub handshakes: u64,
    /// Packets that wait for a session now.
    pub packets_waiting: u64,
    /// Handshake messages that wait to be answered now.
    pub calls_waiting: u64,
    /// Handshake messages that came when too many waited to be answered.
    pub calls_dropped: u64,
}

/// Control over a tunnel. Clones control the same one.
#[derive(Clone, Debug)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
}

pub(crate) enum Command {
    Status(oneshot::Sender<Status>),
    SetPeer(Box<PeerConfig>, oneshot::Sender<Result<(), AddPeerError>>),
    RemovePeer(PublicKey, oneshot::Sender<()>),
    SetEndpoint(PublicKey, SocketAddr, oneshot::Sender<()>),
    SetMtu(u16, oneshot::Sender<()>),
    SetUp(bool, oneshot::Sender<Result<(), Error>>),
    ForgetSessions(oneshot::Sender<()>),
    Describe(oneshot::Sender<Zeroizing<String>>),
    Configure(Box<Transaction>, oneshot::Sender<Result<(), Errno>>),
    Stop,
}

/// The tunnel has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stopped;

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the tunnel has ended")
    }
}

impl core::error::Error for Stopped {}

/// Why a peer was not set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SetPeerError {
    /// The tunnel has ended.
    Stopped,
    /// The device does not take it.
    Refused(AddPeerError),
}

impl fmt::Display for SetPeerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => Stopped.fmt(f),
            Self::Refused(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for SetPeerError {}

impl Handle {
    /// The handle, and where its commands arrive.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Command>) {
        let (commands, receiver) = mpsc::channel(16);
        (Self { commands }, receiver)
    }

    /// The tunnel as it is now.
    ///
    /// # Errors
    /// [`Stopped`], here and below.
    pub async fn status(&self) -> Result<Status, Stopped> {
        self.ask(Command::Status).await
    }

    /// Adds a peer, or makes the existing one with this public key exactly so. Its session
    /// goes on, and without an endpoint it keeps the one that it has.
    ///
    /// # Errors
    /// [`SetPeerError`]; nothing is changed then.
    pub async fn set_peer(&self, peer: PeerConfig) -> Result<(), SetPeerError> {
        let answer = self.ask(|answer| Command::SetPeer(Box::new(peer), answer)).await;
        answer.map_err(|Stopped| SetPeerError::Stopped)?.map_err(SetPeerError::Refused)
    }

    /// Removes a peer with its session, its allowed IPs and the packets that wait for it.
    /// Does nothing when there is no such peer.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn remove_peer(&self, peer: PublicKey) -> Result<(), Stopped> {
        self.ask(|answer| Command::RemovePeer(peer, answer)).await
    }

    /// Says where a peer is. Does nothing when there is no such peer.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn set_endpoint(&self, peer: PublicKey, at: SocketAddr) -> Result<(), Stopped> {
        self.ask(|answer| Command::SetEndpoint(peer, at, answer)).await
    }

    /// Says that inner packets are of another length now, at most.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn set_mtu(&self, mtu: u16) -> Result<(), Stopped> {
        self.ask(|answer| Command::SetMtu(mtu, answer)).await
    }

    /// Wipes the keys of all sessions and handshakes, and asks for new sessions where there
    /// were some. The tunnel does so itself after the machine has slept; before that, whoever
    /// is told of it in time may.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn forget_sessions(&self) -> Result<(), Stopped> {
        self.ask(Command::ForgetSessions).await
    }

    /// Says whether the interface is up. Set down, a tunnel closes its sockets, wipes the keys
    /// of all sessions and drops what waits; set up, it has its port again, or stays down.
    pub(crate) async fn set_up(&self, is_up: bool) -> Result<Result<(), Error>, Stopped> {
        self.ask(|answer| Command::SetUp(is_up, answer)).await
    }

    /// What the configuration protocol tells of the tunnel, keys included.
    pub(crate) async fn describe(&self) -> Result<Zeroizing<String>, Stopped> {
        self.ask(Command::Describe).await
    }

    /// Changes the tunnel as the configuration protocol says, in one go or not at all.
    pub(crate) async fn configure(&self, transaction: Box<Transaction>) -> Result<(), Errno> {
        let answer = self.ask(|answer| Command::Configure(transaction, answer)).await;
        answer.unwrap_or(Err(Errno::EIO))
    }

    /// Ends the tunnel and waits until it has wiped its keys and closed what it had open.
    pub async fn stop(&self) {
        // One that is not there has ended already.
        let _ = self.commands.send(Command::Stop).await;
        self.commands.closed().await;
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, Stopped> {
        let (sender, answer) = oneshot::channel();
        self.commands.send(command(sender)).await.map_err(|_| Stopped)?;
        answer.await.map_err(|_| Stopped)
    }
}
