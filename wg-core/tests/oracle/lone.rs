//! One engine and this oracle as its peer, and all that can be seen of an engine.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use wg_core::rand_core::{TryCryptoRng, TryRng};
use wg_core::{
    Connection, Event, INITIATION_LEN, Instant, PeerId, PresharedKey, PublicKey, Reason, Received,
    Refusal, SendError, Source, Tai64n,
};

use super::{Draft, Initiation, Party, Session};
use crate::pair::{A_INNER, A_OUTER, B_INNER, B_OUTER, Node, node, packet};

/// A generator that gives the same byte again and again.
pub struct Stuck(pub u8);

impl TryRng for Stuck {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_le_bytes([self.0; 4]))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_le_bytes([self.0; 8]))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.fill(self.0);
        Ok(())
    }
}

impl TryCryptoRng for Stuck {}

/// What the engine made of a datagram.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Heard {
    Packet(PeerId, Vec<u8>),
    Keepalive(PeerId),
    Reply(Spoken),
    Handshake(PeerId),
    Cookie(PeerId),
}

/// What the engine sends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Spoken {
    pub peer: Option<PeerId>,
    pub to: SocketAddr,
    pub traffic_class: u8,
    pub bytes: Vec<u8>,
}

impl Heard {
    pub fn reply(self) -> Vec<u8> {
        match self {
            Self::Reply(spoken) => spoken.bytes,
            other => panic!("no reply: {other:?}"),
        }
    }
}

impl Node {
    /// Takes a datagram and nothing else: what it leads to is still to be polled.
    pub fn hear(
        &mut self,
        now: Instant,
        from: impl Into<Source>,
        bytes: &[u8],
    ) -> Result<Heard, Refusal> {
        let mut buf = bytes.to_vec();
        let heard = self.device.handle_datagram(now, &mut self.rng, from.into(), &mut buf)?;
        Ok(match heard {
            Received::Packet { peer, packet } => Heard::Packet(peer, packet.to_vec()),
            Received::Keepalive(peer) => Heard::Keepalive(peer),
            Received::Reply(transmit) => Heard::Reply(Spoken {
                peer: transmit.peer,
                to: transmit.to.remote,
                traffic_class: transmit.traffic_class,
                bytes: transmit.datagram.to_vec(),
            }),
            Received::Handshake(peer) => Heard::Handshake(peer),
            Received::Cookie(peer) => Heard::Cookie(peer),
            other => panic!("a new kind: {other:?}"),
        })
    }

    /// Everything that is to be sent now.
    pub fn speak(&mut self, now: Instant) -> Vec<Spoken> {
        let mut spoken = Vec::new();
        let mut buf = [0; INITIATION_LEN];
        while let Some(transmit) =
            self.device.poll_transmit(now, &mut self.clock, &mut self.rng, &mut buf)
        {
            spoken.push(Spoken {
                peer: transmit.peer,
                to: transmit.to.remote,
                traffic_class: transmit.traffic_class,
                bytes: transmit.datagram.to_vec(),
            });
        }
        spoken
    }

    pub fn news(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.device.poll_event()).collect()
    }

    /// An inner packet sealed, or why not.
    pub fn seal(&mut self, now: Instant, packet: &[u8]) -> Result<Spoken, SendError> {
        let mut buf = vec![0; 16 + packet.len() + 15 + 16];
        buf[16..16 + packet.len()].copy_from_slice(packet);
        let transmit = self.device.seal(now, &mut buf, packet.len())?;
        Ok(Spoken {
            peer: transmit.peer,
            to: transmit.to.remote,
            traffic_class: transmit.traffic_class,
            bytes: transmit.datagram.to_vec(),
        })
    }

    /// All that can be seen of a device, but for the counters of refusals.
    pub fn observe(&mut self, now: Instant) -> View {
        let peers = self.device.peers().collect::<Vec<_>>();
        View {
            deadline: self.device.poll_timeout(),
            news: self.news(),
            spoken: self.speak(now),
            public: self.device.public_key(),
            peers: peers
                .into_iter()
                .map(|id| {
                    let status = self.status(now, id);
                    let mut routes: Vec<String> =
                        self.device.allowed_ips(id).map(|prefix| prefix.to_string()).collect();
                    routes.sort();
                    PeerView {
                        id,
                        endpoint: status.endpoint,
                        connection: status.connection,
                        last_handshake: status.last_handshake,
                        session_birth: status.session_birth,
                        bytes: (status.received_bytes, status.sent_bytes),
                        routes,
                    }
                })
                .collect(),
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct View {
    pub deadline: Option<(Instant, Reason)>,
    pub news: Vec<Event>,
    pub spoken: Vec<Spoken>,
    pub public: Option<PublicKey>,
    pub peers: Vec<PeerView>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerView {
    pub id: PeerId,
    pub endpoint: Option<SocketAddr>,
    pub connection: Connection,
    pub last_handshake: Option<Instant>,
    pub session_birth: Option<Instant>,
    pub bytes: (u64, u64),
    pub routes: Vec<String>,
}

/// One engine at `B_OUTER`, whose only peer at `A_OUTER` is this oracle.
pub struct Lone {
    pub node: Node,
    pub peer: PeerId,
    pub us: Party,
    /// The engine's public key.
    pub them: [u8; 32],
    pub preshared: [u8; 32],
    pub now: Instant,
    pub home: SocketAddr,
    drafts: u32,
}

/// A private key for the `number`th handshake.
fn ephemeral(byte: u8, number: u32) -> [u8; 32] {
    let mut key = [byte; 32];
    key[4..8].copy_from_slice(&number.to_le_bytes());
    key
}

impl Lone {
    pub fn new() -> Self {
        Self::with(node(2, B_OUTER))
    }

    pub fn with(mut node: Node) -> Self {
        let us = Party::new(1);
        let allowed = ["10.0.0.1/32", "fd00::1/128"];
        let peer = node.meet(PublicKey::from_bytes(us.public), &allowed, Some(A_OUTER));
        let them = *node.public_key().as_bytes();
        Self {
            node,
            peer,
            us,
            them,
            preshared: [0; 32],
            now: Instant::from_secs(7),
            home: A_OUTER.parse().unwrap(),
            drafts: 0,
        }
    }

    pub fn set_preshared(&mut self, key: [u8; 32]) {
        self.preshared = key;
        self.node.device.set_preshared_key(self.peer, &PresharedKey::from_bytes(key));
    }

    pub fn wait(&mut self, time: Duration) {
        self.now = self.now.saturating_add(time);
    }

    /// What the next initiation of ours is made of: all new, and after the one before.
    pub fn draft(&mut self) -> Draft {
        self.drafts += 1;
        Draft {
            index: 0x0a00_0000 + self.drafts,
            ephemeral: ephemeral(0x40, self.drafts),
            false_ephemeral: None,
            timestamp: *Tai64n::from_unix(1_700_000_000 + u64::from(self.drafts), 0).as_bytes(),
        }
    }

    pub fn initiate(&mut self) -> Initiation {
        let draft = self.draft();
        self.us.initiate(&self.them, &draft)
    }

    pub fn hear(&mut self, bytes: &[u8]) -> Result<Heard, Refusal> {
        self.node.hear(self.now, self.home, bytes)
    }

    pub fn hear_from(&mut self, from: &str, bytes: &[u8]) -> Result<Heard, Refusal> {
        self.node.hear(self.now, from.parse::<SocketAddr>().unwrap(), bytes)
    }

    pub fn speak(&mut self) -> Vec<Spoken> {
        self.node.speak(self.now)
    }

    pub fn view(&mut self) -> View {
        self.node.observe(self.now)
    }

    pub fn connection(&self) -> Connection {
        self.node.status(self.now, self.peer).connection
    }

    pub fn endpoint(&self) -> String {
        self.node.status(self.now, self.peer).endpoint.unwrap().to_string()
    }

    /// A packet of the engine's side to ours.
    pub fn outgoing(&self, len: usize) -> Vec<u8> {
        packet(B_INNER, A_INNER, len, 0xbb)
    }

    /// A packet of our side to the engine's.
    pub fn incoming(&self, len: usize) -> Vec<u8> {
        packet(A_INNER, B_INNER, len, 0xaa)
    }

    /// The engine's initiation, asked for by a packet.
    pub fn initiation(&mut self) -> Vec<u8> {
        let packet = self.outgoing(8);
        assert!(self.node.seal(self.now, &packet).is_err());
        let spoken = self.speak();
        assert_eq!(spoken.len(), 1, "one initiation");
        spoken[0].bytes.clone()
    }

    /// The engine's next initiation, asked for by a persistent keepalive that is switched on.
    pub fn another_initiation(&mut self) -> Vec<u8> {
        self.node.device.set_persistent_keepalive(self.now, self.peer, 0);
        self.node.device.set_persistent_keepalive(self.now, self.peer, u16::MAX);
        let spoken = self.speak();
        assert_eq!(spoken.len(), 1, "one initiation");
        spoken[0].bytes.clone()
    }

    /// The session that we initiated, before the engine knows that we have it.
    pub fn responded(&mut self) -> Session {
        let initiation = self.initiate();
        let response = self.hear(&initiation.bytes).unwrap().reply();
        self.us.finish(&initiation, &response, &self.preshared).expect("a response to us")
    }

    /// A session that we initiated.
    pub fn called(&mut self) -> Session {
        let mut session = self.responded();
        let confirmation = session.seal(&[]);
        assert_eq!(self.hear(&confirmation), Ok(Heard::Keepalive(self.peer)));
        assert!(self.node.news().contains(&Event::SessionUp(self.peer)));
        session
    }

    /// A session that the engine initiated.
    pub fn calling(&mut self) -> Session {
        let initiation = self.initiation();
        self.answer(&initiation)
    }

    /// Whether a packet of ours in this session gets through.
    pub fn arrives(&mut self, session: &mut Session) -> bool {
        let datagram = session.seal(&self.incoming(3));
        match self.hear(&datagram) {
            Ok(Heard::Packet(..)) => true,
            Err(Refusal::UnknownIndex) => false,
            other => panic!("{other:?}"),
        }
    }

    /// Whether the engine sends in this session.
    pub fn uses(&mut self, session: &Session) -> bool {
        let packet = self.outgoing(3);
        let sealed = self.node.seal(self.now, &packet).unwrap().bytes;
        session.open(&sealed).is_some()
    }

    /// Answers an initiation of the engine.
    pub fn answer(&mut self, initiation: &[u8]) -> Session {
        self.drafts += 1;
        let ephemeral = ephemeral(0x80, self.drafts);
        let index = 0x0b00_0000 + self.drafts;
        let (response, session) = self.us.respond(initiation, &self.preshared, ephemeral, index);
        assert_eq!(self.hear(&response), Ok(Heard::Handshake(self.peer)));
        assert!(self.node.news().contains(&Event::SessionUp(self.peer)));
        let spoken = self.speak();
        assert_eq!(spoken.len(), 1, "the confirmation");
        assert_eq!(session.open(&spoken[0].bytes).as_deref(), Some(&[][..]));
        session
    }
}
