//! The network between three machines, and what is true of everything that passes.

use std::collections::{HashSet, VecDeque};
use std::net::SocketAddr;

use wg_core::{
    Connection, Ecn, Event, INITIATION_LEN, Instant, Received, Refusal, SendError, Source,
};

use super::machine::{MACHINES, Machine, Room, are_peers, inner, outer};
use crate::oracle::{counter_of, receiver_of, sender_of};

/// What a machine sent, or what the adversary made of it.
#[derive(Clone, Debug)]
pub struct Datagram {
    pub id: u64,
    /// Who sent it; `None` for what no machine would own to any more.
    pub by: Option<usize>,
    /// For whom it is.
    pub to: usize,
    pub bytes: Vec<u8>,
    /// The inner packet; empty for a keepalive.
    pub packet: Vec<u8>,
    /// The initiation that this is the response to.
    pub answers: u64,
}

/// The adversary remembers as many datagrams on their way, and as many of the past.
const IN_FLIGHT: usize = 48;
const RECORD: usize = 96;
/// Packets that wait for one session.
const WAITING: usize = 4;

pub struct Network<'a> {
    pub now: Instant,
    pub machines: [Machine<'a>; MACHINES],
    pub flights: VecDeque<Datagram>,
    pub record: VecDeque<Datagram>,
    /// Rooms for machines that start anew.
    pub spare: Vec<&'a mut Room>,
    /// To whom the gateway routes the inner address of each machine.
    pub routes: [Option<usize>; MACHINES],
    datagrams: u64,
    packets: u64,
    /// The packets that arrived, by their numbers.
    arrived: HashSet<(usize, u64)>,
    /// How many arrived, by receiver and sender.
    pub counts: [[u32; MACHINES]; MACHINES],
}

impl<'a> Network<'a> {
    pub fn new(rooms: &'a mut [Room]) -> Self {
        let mut rooms = rooms.iter_mut();
        Self {
            now: Instant::ZERO,
            machines: [0, 1, 2].map(|number| Machine::new(number, rooms.next().unwrap())),
            flights: VecDeque::new(),
            record: VecDeque::new(),
            spare: rooms.collect(),
            routes: [None, Some(1), Some(2)],
            datagrams: 0,
            packets: 0,
            arrived: HashSet::new(),
            counts: Default::default(),
        }
    }

    /// A packet of a host, with a number of its own, from any inner address.
    pub fn packet(&mut self, source: usize, to: usize) -> Vec<u8> {
        self.packets += 1;
        let len = 28 + (self.packets % 3) as usize * 7;
        let mut packet = vec![0; len];
        packet[0] = 0x45;
        packet[3] = len as u8;
        packet[8] = 64;
        packet[9] = 17;
        packet[12..16].copy_from_slice(&inner(source));
        packet[16..20].copy_from_slice(&inner(to));
        packet[20..28].copy_from_slice(&self.packets.to_be_bytes());
        packet
    }

    /// A host's packet leaves, or waits, or has nowhere to go. The device is not polled yet.
    pub fn send(&mut self, from: usize, packet: &[u8]) {
        let now = self.now;
        let machine = &mut self.machines[from];
        let mut buf = vec![0; 16 + packet.len() + 15 + 16];
        buf[16..16 + packet.len()].copy_from_slice(packet);
        match machine.device.seal(now, &mut buf, packet.len()) {
            Ok(transmit) => {
                let id = transmit.peer.expect("data is for somebody");
                let to = machine.other(id);
                assert_eq!(Some(transmit.to.remote), machine.beliefs[to].endpoint);
                let bytes = transmit.datagram.to_vec();
                self.leave(from, to, bytes, packet, 0);
            }
            Err(SendError::NoSession(id)) => {
                let other = machine.other(id);
                let connection = machine.device.peer(now, id).unwrap().connection;
                assert_ne!(connection, Connection::Up, "no session, and a session");
                let waiting = &mut machine.waiting[other];
                waiting.push_back(packet.to_vec());
                waiting.truncate(WAITING);
            }
            Err(SendError::Refused(Refusal::Down | Refusal::NoRoute)) => {}
            Err(error) => panic!("a packet was refused: {error:?}"),
        }
    }

    /// A datagram is on the wire: it is what its sender may send now.
    fn leave(&mut self, by: usize, to: usize, bytes: Vec<u8>, packet: &[u8], answers: u64) {
        self.datagrams += 1;
        let id = self.datagrams;
        let belief = &mut self.machines[by].beliefs[to];
        match (bytes[0], bytes.len()) {
            (1, 148) => belief.initiation_sent(self.now, id),
            (2, 92) => {
                let ends = (sender_of(&bytes), receiver_of(&bytes));
                belief.initiation_consumed(self.now, answers, ends);
            }
            (3, 64) => {}
            (4, 32..) => belief.data_sent(self.now, receiver_of(&bytes), counter_of(&bytes)),
            other => panic!("a message of type and length {other:?}"),
        }
        assert_eq!(bytes[1..4], [0; 3]);
        let datagram = Datagram { id, by: Some(by), to, bytes, packet: packet.to_vec(), answers };
        for (list, most) in [(&mut self.flights, IN_FLIGHT), (&mut self.record, RECORD)] {
            if list.len() == most {
                list.pop_front();
            }
            list.push_back(datagram.clone());
        }
    }

    /// The law of driving.
    pub fn drain(&mut self, at: usize) {
        let now = self.now;
        while let Some(event) = self.machines[at].device.poll_event() {
            let machine = &mut self.machines[at];
            match event {
                Event::SessionUp(id) => {
                    let other = machine.other(id);
                    let connection = machine.device.peer(now, id).unwrap().connection;
                    assert_eq!(connection, Connection::Up, "a session that cannot send");
                    machine.beliefs[other].session_up();
                    for packet in std::mem::take(&mut machine.waiting[other]) {
                        self.send(at, &packet);
                    }
                }
                Event::HandshakeGivenUp(id) => {
                    let other = machine.other(id);
                    machine.beliefs[other].given_up(now);
                    machine.waiting[other].clear();
                }
                Event::EndpointMoved(id) | Event::SessionExpired(id) => drop(machine.other(id)),
                _ => panic!("a new kind of news: {event:?}"),
            }
        }
        let mut buf = [0; INITIATION_LEN];
        loop {
            let machine = &mut self.machines[at];
            let Machine { device, clock, random, .. } = machine;
            let Some(transmit) = device.poll_transmit(now, clock, random, &mut buf) else { break };
            let (id, remote) = (transmit.peer.unwrap(), transmit.to.remote);
            let bytes = transmit.datagram.to_vec();
            let other = machine.other(id);
            assert_eq!(Some(remote), machine.beliefs[other].endpoint);
            self.leave(at, other, bytes, &[], 0);
        }
        self.machines[at].unpolled = false;
        assert_eq!(self.machines[at].device.poll_event(), None);
        self.check(at);
    }

    /// What a device says of its peers is what passed on the wire.
    fn check(&mut self, at: usize) {
        let machine = &mut self.machines[at];
        for belief in &mut machine.beliefs {
            let Some(id) = belief.id else { continue };
            let status = machine.device.peer(self.now, id).expect("a peer that was added");
            assert_eq!(status.endpoint, belief.endpoint, "an endpoint that nobody moved");
            belief.check(status.connection);
        }
    }

    /// A datagram arrives at a machine, from an address.
    pub fn arrive(&mut self, datagram: &Datagram, at: usize, from: SocketAddr, mark: u8) {
        let now = self.now;
        let before = self.view(at);
        let machine = &mut self.machines[at];
        let authentic = datagram.by.filter(|_| datagram.to == at);
        let due = machine.device.poll_timeout().is_some_and(|(due, _)| due <= now);
        let late = due || machine.unpolled;
        let obliged = authentic.filter(|_| datagram.bytes[0] == 4).is_some_and(|by| {
            let (local, counter) = (receiver_of(&datagram.bytes), counter_of(&datagram.bytes));
            machine.beliefs[by].must_accept(now, local, counter)
        });
        let source = Source { remote: from, local: None, ecn: Ecn::from_traffic_class(mark & 3) };
        let mut buf = datagram.bytes.clone();
        let received = machine.device.handle_datagram(now, &mut machine.random, source, &mut buf);
        match received {
            Ok(Received::Packet { peer, packet }) => {
                let by = authentic.expect("a packet that nobody sent was accepted");
                assert_eq!(Some(peer), machine.beliefs[by].id, "the packet of another peer");
                assert_ne!(datagram.packet, [], "a keepalive is no packet");
                let mut sent = datagram.packet.clone();
                sent[1] = packet[1]; // The congestion mark is the network's.
                sent[10..12].copy_from_slice(&packet[10..12]);
                assert_eq!(packet, sent, "another packet than was sent");
                let source = usize::from(packet[15] - 1);
                let owner = if at == 0 { self.routes[source] } else { Some(0) };
                assert_eq!(owner, Some(by), "a packet from an address of somebody else");
                let number = u64::from_be_bytes(packet[20..28].try_into().unwrap());
                assert!(self.arrived.insert((at, number)), "a packet was delivered twice");
                self.counts[at][by] += 1;
                self.data_accepted(datagram, at, by, from);
            }
            Ok(Received::Keepalive(peer)) => {
                let by = authentic.expect("a keepalive that nobody sent was accepted");
                assert_eq!(Some(peer), machine.beliefs[by].id);
                assert_eq!(datagram.packet, [], "a packet is no keepalive");
                self.data_accepted(datagram, at, by, from);
            }
            Ok(Received::Handshake(peer)) => {
                let by = authentic.expect("a response that nobody sent was accepted");
                assert_eq!(Some(peer), machine.beliefs[by].id);
                let ends = (receiver_of(&datagram.bytes), sender_of(&datagram.bytes));
                let belief = &mut machine.beliefs[by];
                belief.response_consumed(now, datagram.answers, late, ends);
                belief.endpoint = Some(from);
                machine.work(now);
            }
            Ok(Received::Reply(transmit)) => {
                assert_eq!(transmit.to.remote, from);
                let bytes = transmit.datagram.to_vec();
                assert!(bytes.len() <= datagram.bytes.len(), "an amplification");
                if bytes[0] == 2 {
                    let by = authentic.expect("an initiation that nobody sent was answered");
                    assert_eq!(transmit.peer, machine.beliefs[by].id);
                    machine.beliefs[by].endpoint = Some(from);
                    machine.work(now);
                    self.leave(at, by, bytes, &[], datagram.id);
                } else {
                    assert_eq!(bytes[0], 3);
                    self.assert_no_trace(at, &before, "a cookie reply");
                    if let Some(by) = datagram.by {
                        self.leave(at, by, bytes, &[], 0);
                    }
                }
            }
            // Whoever saw a message can make one up: it may change nothing that can be seen.
            Ok(Received::Cookie(_)) => self.assert_no_trace(at, &before, "a cookie"),
            Ok(other) => panic!("a new kind: {other:?}"),
            Err(refusal) => self.refused(datagram, at, from, (refusal, obliged, before)),
        }
        self.drain(at);
    }

    fn data_accepted(&mut self, datagram: &Datagram, at: usize, by: usize, from: SocketAddr) {
        let (local, counter) = (receiver_of(&datagram.bytes), counter_of(&datagram.bytes));
        let belief = &mut self.machines[at].beliefs[by];
        belief.data_accepted(self.now, local, counter);
        belief.endpoint = Some(from);
    }

    /// What is refused leaves no trace; and what an honest machine sent is refused for one of
    /// the network's faults, not for what it is.
    fn refused(
        &mut self,
        datagram: &Datagram,
        at: usize,
        from: SocketAddr,
        (refusal, obliged, before): (Refusal, bool, View),
    ) {
        if [
            Refusal::StaticUndecryptable,
            Refusal::UnknownPeer,
            Refusal::TimestampUndecryptable,
            Refusal::StaleTimestamp,
            Refusal::InitiationFlood,
            Refusal::ZeroSharedSecret,
            Refusal::ResponseUndecryptable,
        ]
        .contains(&refusal)
        {
            self.machines[at].work(self.now);
        }
        let authentic = datagram.by.filter(|_| datagram.to == at);
        if let (Refusal::NotAllowedSource, Some(by)) = (refusal, authentic) {
            let source = usize::from(datagram.packet[15] - 1);
            assert!(at == 0 && self.routes[source] != Some(by), "its own address was refused");
            self.data_accepted(datagram, at, by, from);
            return;
        }
        self.assert_no_trace(at, &before, "a refused datagram");
        if authentic.is_none() {
            return;
        }
        assert!(!obliged, "the newest session's packet was refused: {refusal:?}");
        let of_the_network = [
            Refusal::Down,
            Refusal::NoPrivateKey,
            Refusal::Mac1Mismatch,
            Refusal::SourceLimit,
            Refusal::StaticUndecryptable,
            Refusal::UnknownPeer,
            Refusal::TimestampUndecryptable,
            Refusal::StaleTimestamp,
            Refusal::InitiationFlood,
            Refusal::UnknownIndex,
            Refusal::ResponseUndecryptable,
            Refusal::UnexpectedCookie,
            Refusal::CookieUndecryptable,
            Refusal::SessionExpired,
            Refusal::Replayed,
            Refusal::TooOld,
            Refusal::Forged,
        ];
        assert!(of_the_network.contains(&refusal), "an honest datagram: {refusal:?}");
    }

    /// Serves what is due at a machine.
    pub fn serve(&mut self, at: usize) {
        let mut due = 0;
        while let Some((_, reason)) =
            self.machines[at].device.poll_timeout().filter(|(due, _)| *due <= self.now)
        {
            self.tick(at);
            self.drain(at);
            due += 1;
            assert!(due <= 40, "deadlines without end: {reason:?}");
        }
    }

    /// One call of a machine's `handle_timeout`, whether something is due or not.
    pub fn tick(&mut self, at: usize) {
        for belief in &mut self.machines[at].beliefs {
            belief.deadlines_served(self.now);
        }
        self.machines[at].device.handle_timeout(self.now);
    }

    pub fn view(&mut self, at: usize) -> View {
        let device = &mut self.machines[at].device;
        let ids: Vec<_> = device.peers().collect();
        let peers = ids.into_iter().map(|id| {
            let status = device.peer(self.now, id).unwrap();
            PeerView {
                endpoint: status.endpoint,
                connection: status.connection,
                last_handshake: status.last_handshake,
                session_birth: status.session_birth,
                bytes: (status.received_bytes, status.sent_bytes),
            }
        });
        let peers = peers.collect();
        View { peers, deadline: device.poll_timeout() }
    }

    fn assert_no_trace(&mut self, at: usize, before: &View, what: &str) {
        assert_eq!(self.view(at), *before, "{what} left a trace");
    }

    /// Everybody has what is needed for sessions again; what was on its way is lost.
    pub fn heal(&mut self) {
        self.flights.clear();
        for number in 0..MACHINES {
            if number == 0 {
                (1..MACHINES).for_each(|other| self.machines[0].add(self.now, other));
                (1..MACHINES).for_each(|other| self.route(other, Some(other)));
            }
            let now = self.now;
            let machine = &mut self.machines[number];
            machine.clock.fault = None;
            machine.clock.secs = machine.clock.greatest;
            machine.random.stuck = None;
            machine.set_key(now, Some(super::machine::own_key(number)));
            machine.device.up(now);
            for other in (0..MACHINES).filter(|other| are_peers(number, *other)) {
                machine.add(now, other);
                machine.set_preshared(other, [0; 32]);
                let belief = &mut machine.beliefs[other];
                belief.endpoint = Some(outer(other, 0));
                machine.device.set_endpoint(now, belief.id.unwrap(), outer(other, 0));
            }
            self.drain(number);
        }
    }

    /// The gateway routes the inner address of a machine to a peer, or to nobody.
    pub fn route(&mut self, address: usize, to: Option<usize>) {
        let gateway = &mut self.machines[0];
        let [a, b, c, d] = inner(address);
        let prefix = format!("{a}.{b}.{c}.{d}/32").parse().unwrap();
        let id_of = |machine: usize| gateway.beliefs[machine].id;
        match (to, self.routes[address]) {
            (Some(to), _) => {
                if let Some(id) = id_of(to) {
                    gateway.device.add_allowed_ip(id, prefix).expect("there is room for it");
                    self.routes[address] = Some(to);
                }
            }
            (None, Some(owner)) => {
                if let Some(id) = id_of(owner) {
                    gateway.device.remove_allowed_ip(id, prefix);
                }
                self.routes[address] = None;
            }
            (None, None) => {}
        }
    }
}

/// What can be seen of a device without changing it.
#[derive(PartialEq, Eq, Debug)]
pub struct View {
    peers: Vec<PeerView>,
    deadline: Option<(Instant, wg_core::Reason)>,
}

#[derive(PartialEq, Eq, Debug)]
struct PeerView {
    endpoint: Option<SocketAddr>,
    connection: Connection,
    last_handshake: Option<Instant>,
    session_birth: Option<Instant>,
    bytes: (u64, u64),
}
