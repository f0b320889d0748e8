//! Settings, traffic, attacks and time in any order: a device keeps its promises.

mod oracle;
mod pair;

use std::collections::HashMap;
use std::time::Duration;

use oracle::{Lone, Party, Session, View, cookie_reply, sign};
use pair::{A_OUTER, Seeded, packet, private_key};
use proptest::prelude::*;
use wg_core::rand_core::TryRng;
use wg_core::{AddPeerError, AllowedIp, PeerId, PresharedKey, Refusal, SendError, Tai64n};

#[derive(Clone, Debug)]
enum Step {
    Add(u8),
    Remove(u8),
    Key(Option<u8>),
    Preshared(u8, u8),
    Endpoint(u8),
    Route(u8, u8, u8),
    Unroute(u8, u8, u8),
    Keepalive(u8, u16),
    Mtu(u16),
    Load,
    Up,
    Down,
    Clock(bool),
    Wait(u64),
    Sleep(u16),
    Timeout,
    Send(u8),
    Called(u8),
    Answer(u8),
    Data(u8, u8),
    Replay(u8),
    Cookie(u8),
    Garbage(u8, u64),
}

fn step() -> impl Strategy<Value = Step> {
    let peer = || 10..16_u8;
    prop_oneof![
        peer().prop_map(Step::Add),
        peer().prop_map(Step::Add),
        peer().prop_map(Step::Remove),
        prop::option::weighted(0.8, prop_oneof![Just(2_u8), peer()]).prop_map(Step::Key),
        (peer(), 0..3_u8).prop_map(|(peer, key)| Step::Preshared(peer, key)),
        peer().prop_map(Step::Endpoint),
        (peer(), 0..4_u8, 0..33_u8).prop_map(|(peer, net, len)| Step::Route(peer, net, len)),
        (peer(), 0..4_u8, 0..33_u8).prop_map(|(peer, net, len)| Step::Unroute(peer, net, len)),
        (peer(), 0..30_u16).prop_map(|(peer, secs)| Step::Keepalive(peer, secs)),
        prop_oneof![Just(0), Just(1280), Just(1420)].prop_map(Step::Mtu),
        Just(Step::Load),
        Just(Step::Up),
        Just(Step::Down),
        any::<bool>().prop_map(Step::Clock),
        (0..6_000_000_u64).prop_map(Step::Wait),
        (0..600_u16).prop_map(Step::Sleep),
        Just(Step::Timeout),
        (0..4_u8).prop_map(Step::Send),
        peer().prop_map(Step::Called),
        peer().prop_map(Step::Called),
        peer().prop_map(Step::Answer),
        (peer(), 0..4_u8).prop_map(|(peer, net)| Step::Data(peer, net)),
        (peer(), 0..4_u8).prop_map(|(peer, net)| Step::Data(peer, net)),
        any::<u8>().prop_map(Step::Replay),
        any::<u8>().prop_map(Step::Cookie),
        (0..6_u8, any::<u64>()).prop_map(|(kind, seed)| Step::Garbage(kind, seed)),
    ]
}

/// What the settings of a device say, by the simplest means.
struct Model {
    lone: Lone,
    key: Option<u8>,
    up: bool,
    peers: HashMap<u8, PeerId>,
    gone: Vec<PeerId>,
    preshared: HashMap<u8, u8>,
    routes: HashMap<AllowedIp, u8>,
    sessions: HashMap<u8, Session>,
    /// Everything that the engine sent, and that it was sent.
    spoken: Vec<Vec<u8>>,
    heard: Vec<Vec<u8>>,
}

fn route(net: u8, len: u8) -> AllowedIp {
    if net == 3 {
        format!("fd0{net}::/{}", len * 3).parse().unwrap()
    } else {
        format!("10.{net}.0.0/{len}").parse().unwrap()
    }
}

impl Model {
    fn new() -> Self {
        let mut lone = Lone::new();
        lone.node.device.remove_peer(lone.peer);
        Self {
            key: Some(2),
            up: true,
            peers: HashMap::new(),
            gone: vec![lone.peer],
            preshared: HashMap::new(),
            routes: HashMap::new(),
            sessions: HashMap::new(),
            spoken: Vec::new(),
            heard: Vec::new(),
            lone,
        }
    }

    fn forget(&mut self, key: u8) {
        if let Some(id) = self.peers.remove(&key) {
            self.gone.push(id);
            self.routes.retain(|_, owner| *owner != key);
            self.preshared.remove(&key);
            self.sessions.remove(&key);
        }
    }

    fn hear(&mut self, bytes: Vec<u8>) {
        let (key, from) = (self.key, self.lone.home);
        let heard = self.lone.node.hear(self.lone.now, from, &bytes);
        if let Ok(oracle::Heard::Reply(spoken)) = &heard {
            assert!(self.up && key.is_some());
            self.spoken.push(spoken.bytes.clone());
        }
        if heard.is_ok() {
            assert!(self.up);
        }
        self.heard.push(bytes);
    }

    fn preshared_of(&self, key: u8) -> [u8; 32] {
        [self.preshared.get(&key).copied().unwrap_or(0); 32]
    }

    fn apply(&mut self, step: Step) {
        let now = self.lone.now;
        let device = &mut self.lone.node.device;
        match step {
            Step::Add(key) => match device.add_peer(&private_key(key).public_key()) {
                Ok(id) => {
                    assert_ne!(self.key, Some(key));
                    assert!(!self.gone.contains(&id));
                    assert_eq!(*self.peers.entry(key).or_insert(id), id);
                }
                Err(AddPeerError::OwnKey) => assert_eq!(self.key, Some(key)),
                Err(AddPeerError::Full) => {
                    assert!(self.peers.len() == 4 && !self.peers.contains_key(&key));
                }
            },
            Step::Remove(key) => {
                if let Some(id) = self.peers.get(&key) {
                    device.remove_peer(*id);
                    device.remove_peer(*id);
                }
                self.forget(key);
            }
            Step::Key(key) => {
                device.set_private_key(now, key.map(private_key).as_ref());
                if self.key != key {
                    if let Some(key) = key {
                        self.forget(key);
                        self.lone.them = *private_key(key).public_key().as_bytes();
                    }
                    self.sessions.clear();
                }
                self.key = key;
            }
            Step::Preshared(key, byte) => {
                if let Some(id) = self.peers.get(&key) {
                    device.set_preshared_key(*id, &PresharedKey::from_bytes([byte; 32]));
                    self.preshared.insert(key, byte);
                }
            }
            Step::Endpoint(key) => {
                if let Some(id) = self.peers.get(&key) {
                    device.set_endpoint(now, *id, A_OUTER.parse().unwrap());
                }
            }
            Step::Route(key, net, len) => {
                if let Some(id) = self.peers.get(&key) {
                    match device.add_allowed_ip(*id, route(net, len)) {
                        Ok(()) => drop(self.routes.insert(route(net, len), key)),
                        Err(_) => assert!(self.routes.len() >= 8),
                    }
                }
            }
            Step::Unroute(key, net, len) => {
                if let Some(id) = self.peers.get(&key) {
                    device.remove_allowed_ip(*id, route(net, len));
                    if self.routes.get(&route(net, len)) == Some(&key) {
                        self.routes.remove(&route(net, len));
                    }
                }
            }
            Step::Keepalive(key, secs) => {
                if let Some(id) = self.peers.get(&key) {
                    device.set_persistent_keepalive(now, *id, secs);
                }
            }
            Step::Mtu(mtu) => device.set_mtu(mtu),
            Step::Load => device.set_under_load(now),
            Step::Up => {
                device.up(now);
                self.up = true;
            }
            Step::Down => {
                device.down();
                self.up = false;
                self.sessions.clear();
            }
            Step::Clock(works) => {
                self.lone.node.clock.answer = if works {
                    Ok(Tai64n::from_unix(1_700_000_000 + now.as_micros() / 1_000_000, 0))
                } else {
                    Err(wg_core::ClockUnavailable::NotSet)
                };
            }
            Step::Wait(micros) => self.lone.wait(Duration::from_micros(micros)),
            Step::Sleep(secs) => self.lone.wait(Duration::from_secs(secs.into())),
            Step::Timeout => device.handle_timeout(now),
            Step::Send(net) => {
                let (from, to) = if net == 3 {
                    ("fd00::2", "fd03::1".to_owned())
                } else {
                    ("10.9.0.2", format!("10.{net}.0.1"))
                };
                match self.lone.node.seal(now, &packet(from, &to, 9, 9)) {
                    Ok(spoken) => {
                        assert!(self.up);
                        self.spoken.push(spoken.bytes);
                    }
                    Err(SendError::NoSession(id)) => assert!(self.peers.values().any(|p| *p == id)),
                    Err(SendError::Refused(Refusal::Down)) => assert!(!self.up),
                    Err(SendError::Refused(Refusal::NoRoute | Refusal::NoEndpoint)) => {}
                    Err(other) => panic!("{other:?}"),
                }
            }
            Step::Called(key) => {
                let draft = self.lone.draft();
                let party = Party::new(key);
                let sent = party.initiate(&self.lone.them, &draft);
                let heard = self.lone.node.hear(now, self.lone.home, &sent.bytes);
                self.heard.push(sent.bytes.clone());
                if let Ok(oracle::Heard::Reply(spoken)) = heard {
                    self.spoken.push(spoken.bytes.clone());
                    if spoken.bytes[0] == 2 {
                        assert!(self.up && self.key.is_some() && self.peers.contains_key(&key));
                        let session =
                            party.finish(&sent, &spoken.bytes, &self.preshared_of(key)).unwrap();
                        self.sessions.insert(key, session);
                    }
                }
            }
            Step::Answer(key) => {
                let party = Party::new(key);
                let sent = self.spoken.iter().rev().find(|bytes| {
                    bytes[0] == 1 && self.key.is_some() && party.read(bytes).is_some()
                });
                if let Some(sent) = sent.cloned() {
                    let psk = self.preshared_of(key);
                    let (mut response, session) = party.respond(&sent, &psk, [key; 32], 77);
                    sign(&mut response, &self.lone.them.clone(), None);
                    let heard = self.lone.node.hear(now, self.lone.home, &response);
                    if let Ok(oracle::Heard::Handshake(_)) = heard {
                        self.sessions.insert(key, session);
                    }
                }
            }
            Step::Data(key, net) => {
                let (source, to) = if net == 3 {
                    ("fd03::1".to_owned(), "fd00::2")
                } else {
                    (format!("10.{net}.0.1"), "10.9.0.2")
                };
                if let Some(session) = self.sessions.get_mut(&key) {
                    let datagram = session.seal(&packet(&source, to, 3, 3));
                    let heard = self.lone.node.hear(now, self.lone.home, &datagram);
                    if let Ok(oracle::Heard::Packet(id, _)) = heard {
                        assert_eq!(self.peers.get(&key), Some(&id));
                        assert_eq!(self.owner(&source), Some(key));
                    }
                    self.heard.push(datagram);
                }
            }
            Step::Replay(which) => {
                if let Some(at) = usize::from(which).checked_rem(self.heard.len()) {
                    let bytes = self.heard[at].clone();
                    self.hear(bytes);
                }
            }
            Step::Cookie(which) => {
                if let Some(at) = usize::from(which).checked_rem(self.spoken.len()) {
                    let sent = self.spoken[at].clone();
                    if [1, 2].contains(&sent[0]) {
                        let sender = Party::new(10 + which % 6).public;
                        self.hear(cookie_reply(&sender, &sent, [which; 16]));
                    }
                }
            }
            Step::Garbage(kind, seed) => {
                let mut rng = Seeded(seed);
                let len = [0, 148, 92, 64, 32 + rng.below(99) as usize, 10][usize::from(kind)];
                let mut bytes = vec![0; len];
                let Ok(()) = rng.try_fill_bytes(&mut bytes);
                if let Some(head) = bytes.get_mut(..4) {
                    head.copy_from_slice(&[kind, 0, 0, 0]);
                }
                if [92, 148].contains(&len) {
                    sign(&mut bytes, &self.lone.them.clone(), None);
                }
                self.hear(bytes);
            }
        }
        self.check();
    }

    /// Who owns the address, by looking at all routes.
    fn owner(&self, address: &str) -> Option<u8> {
        let address: std::net::IpAddr = address.parse().unwrap();
        let covers = |route: &&AllowedIp| {
            let masked = AllowedIp::new(address, route.cidr());
            route.addr().is_ipv4() == address.is_ipv4() && masked == Some(**route)
        };
        let longest = self.routes.keys().filter(covers).max_by_key(|route| route.cidr());
        longest.map(|route| self.routes[route])
    }

    fn check(&mut self) {
        let now = self.lone.now;
        // The law of driving ends, and soon.
        let mut due = 0;
        while self.lone.node.device.poll_timeout().is_some_and(|(at, _)| at <= now) {
            self.lone.node.device.handle_timeout(now);
            due += 1;
            assert!(due <= 40, "deadlines without end");
        }
        let View { deadline, spoken, peers, news, .. } = self.lone.view();
        assert!(spoken.len() <= 2 * self.peers.len());
        for spoken in spoken {
            assert!(self.up);
            assert!(self.peers.values().any(|id| Some(*id) == spoken.peer));
            assert!(spoken.bytes[0] == 4 || self.key.is_some());
            self.spoken.push(spoken.bytes);
        }
        for event in news {
            let alive = format!("{event:?}");
            let known = self.peers.values().any(|id| alive.contains(&format!("{id:?}")));
            assert!(known, "{event:?} of a peer that is gone");
        }
        assert!(self.up || deadline.is_none());
        assert_eq!(self.lone.node.device.is_up(), self.up);
        assert_eq!(peers.len(), self.peers.len());
        let public = |key: u8| private_key(key).public_key();
        assert_eq!(self.lone.node.device.public_key(), self.key.map(public));
        for (key, id) in &self.peers {
            let device = &self.lone.node.device;
            assert_eq!(device.find_peer(&public(*key)), Some(*id));
            assert_eq!(device.peer(now, *id).unwrap().public_key, public(*key));
            let mut routes: Vec<String> =
                device.allowed_ips(*id).map(|route| route.to_string()).collect();
            let owned = self.routes.iter().filter(|(_, owner)| *owner == key);
            let mut expected: Vec<String> = owned.map(|(route, _)| route.to_string()).collect();
            routes.sort();
            expected.sort();
            assert_eq!(routes, expected);
        }
        for id in &self.gone {
            assert!(self.lone.node.device.peer(now, *id).is_none());
            assert_eq!(self.lone.node.device.allowed_ips(*id).count(), 0);
        }
    }

    /// Whatever happened, there is room again, and a handshake still works.
    fn ends_well(mut self) {
        for key in Vec::from_iter(self.peers.keys().copied()) {
            self.apply(Step::Remove(key));
        }
        self.apply(Step::Key(Some(2)));
        self.apply(Step::Up);
        self.apply(Step::Clock(true));
        self.apply(Step::Sleep(10));
        assert_eq!(self.lone.node.device.poll_timeout(), None);
        for key in 20..24 {
            self.apply(Step::Add(key));
        }
        assert_eq!(self.peers.len(), 4);
        for net in 0..8 {
            self.apply(Step::Route(20, net % 3, 32 - net));
        }
        self.apply(Step::Called(20));
        assert!(self.sessions.contains_key(&20));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..Default::default() })]

    #[test]
    fn whatever_happens_a_device_keeps_its_promises(steps in prop::collection::vec(step(), 0..120)) {
        let mut model = Model::new();
        for step in steps {
            model.apply(step);
        }
        model.ends_well();
    }
}
