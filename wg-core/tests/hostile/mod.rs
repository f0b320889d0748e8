//! Three machines on a network that an adversary owns, driven by bytes: by a seeded generator in
//! `any_network.rs`, by libFuzzer in `wg-core/fuzz`.
//!
//! [`play`] panics when an invariant of the protocol is broken; `belief.rs` and `network.rs` are
//! these invariants. It knows the devices' public interface and what passed on the wire, and
//! nothing of their insides.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "the fuzz targets use a part")]

mod belief;
mod machine;
mod network;
mod script;
mod stranger;

use std::time::Duration;

use machine::{MACHINES, Room, are_peers, outer};
use network::{Datagram, Network};
pub use script::Step;
use wg_core::ClockUnavailable;

use crate::oracle::{ATTACKER, cookie_reply};

/// A machine may start anew so often.
const REBOOTS: usize = 2;

/// The longest that a sound network takes to carry packets both ways again: 15.333 s until the
/// silence of a peer that forgot its session is noticed, and some round trips.
const RECOVERY: u32 = 20;

const LATENCY: Duration = Duration::from_millis(10);

/// Plays a script, and asks for sessions that carry packets when it is over.
pub fn play(steps: &[Step]) {
    let mut rooms = [const { Room::new() }; MACHINES + REBOOTS];
    let mut network = Network::new(&mut rooms);
    for step in steps {
        network.play(*step);
    }
    network.recovers();
}

const fn machine(number: u8) -> usize {
    number as usize % MACHINES
}

impl Network<'_> {
    fn play(&mut self, step: Step) {
        let now = self.now;
        match step {
            Step::Send { from, to, source } => {
                self.host_sends(machine(from), machine(to), source);
            }
            Step::Traffic { from, to, every } => {
                let pause = Duration::from_millis(50 + 10 * u64::from(every));
                for _ in 0..20 {
                    self.host_sends(machine(from), machine(to), 0);
                    self.wait(pause);
                }
            }
            Step::Deliver { which, address, mark } => {
                if let Some(place) = usize::from(which).checked_rem(self.flights.len()) {
                    let datagram = self.flights.remove(place).unwrap();
                    self.carry(&datagram, address, mark);
                }
            }
            Step::Copy { which, address, mark } => {
                if let Some(place) = usize::from(which).checked_rem(self.flights.len()) {
                    let datagram = self.flights[place].clone();
                    self.carry(&datagram, address, mark);
                }
            }
            Step::Lose { which } => {
                if let Some(place) = usize::from(which).checked_rem(self.flights.len()) {
                    self.flights.remove(place);
                }
            }
            Step::Replay { which, to, address } => {
                if let Some(datagram) = self.recorded(which) {
                    self.arrive(&datagram, machine(to), origin(&datagram, address), 0);
                }
            }
            Step::Damage { which, place, how } => {
                if let Some(mut datagram) = self.recorded(which) {
                    damage(&mut datagram, usize::from(place), how);
                    self.carry(&datagram, how, 0);
                }
            }
            Step::ForgeCookie { which, to, address } => self.forge_cookie(which, to, address),
            Step::Flood { to, sources, rounds } => {
                self.flood(machine(to), sources % 16, rounds % 8);
                self.drain(machine(to));
            }
            Step::Calm { tenths, more } => {
                let time = u64::from(tenths) + 8 * u64::from(more % 16);
                self.calm(Duration::from_millis(100 * time));
            }
            Step::Wait { millis, more } => {
                self.wait(Duration::from_millis(u64::from(millis) + 32 * u64::from(more)));
            }
            Step::WaitLong { secs, more } => {
                self.wait(Duration::from_secs(u64::from(secs) + 4 * u64::from(more % 64)));
            }
            Step::Sleep { secs, more } => {
                let secs = u64::from(secs) << (more % 16);
                self.now = now.saturating_add(Duration::from_secs(secs));
                // What waits in a socket is read before or after the clock is looked at.
                if more & 0x80 == 0 {
                    (0..MACHINES).for_each(|at| self.serve(at));
                }
            }
            other => self.administer(other),
        }
    }

    /// What the machines' administrators do, and what happens to the machines themselves.
    fn administer(&mut self, step: Step) {
        let now = self.now;
        let peer =
            |network: &Self, at: u8, of: u8| network.machines[machine(at)].beliefs[machine(of)].id;
        let at = match step {
            Step::Timeout { at } => {
                self.tick(machine(at));
                if at >= 128 {
                    self.machines[machine(at)].unpolled = true;
                    return;
                }
                at
            }
            Step::Key { at, key } => {
                let key =
                    [None, Some(0x40), Some(machine::own_key(machine(at)))][usize::from(key) % 3];
                self.machines[machine(at)].set_key(now, key);
                at
            }
            Step::Preshared { at, of, key } => {
                self.machines[machine(at)].set_preshared(machine(of), [key % 2; 32]);
                at
            }
            Step::Endpoint { at, of, address } => {
                if let Some(id) = peer(self, at, of) {
                    let machine_at = &mut self.machines[machine(at)];
                    let remote = outer(machine(of), address % 2);
                    machine_at.beliefs[machine(of)].endpoint = Some(remote);
                    machine_at.device.set_endpoint(now, id, remote);
                }
                at
            }
            Step::Keepalive { at, of, secs } => {
                if let Some(id) = peer(self, at, of) {
                    let seconds = u16::from(secs % 40);
                    self.machines[machine(at)].device.set_persistent_keepalive(now, id, seconds);
                }
                at
            }
            Step::Remove { at, of } => {
                if let Some(id) = peer(self, at, of) {
                    let machine_at = &mut self.machines[machine(at)];
                    machine_at.device.remove_peer(id);
                    machine_at.beliefs[machine(of)].forget();
                    machine_at.waiting[machine(of)].clear();
                    if machine(at) == 0 {
                        let theirs = |owner: &mut Option<usize>| *owner == Some(machine(of));
                        self.routes
                            .iter_mut()
                            .filter_map(|owner| theirs(owner).then_some(owner))
                            .for_each(|owner| *owner = None);
                    }
                }
                at
            }
            Step::Add { at, of } => {
                self.machines[machine(at)].add(now, machine(of));
                if machine(at) == 0 && machine(of) != 0 {
                    self.route(machine(of), Some(machine(of)));
                }
                at
            }
            Step::Route { address, to, add } => {
                let address = 1 + usize::from(address) % (MACHINES - 1);
                let to = (add % 2 == 0).then_some(1 + usize::from(to) % (MACHINES - 1));
                self.route(address, to);
                0
            }
            Step::Connect { at, of } => {
                if let Some(id) = peer(self, at, of) {
                    self.machines[machine(at)].device.connect(now, id);
                }
                at
            }
            Step::Load { at } => {
                self.machines[machine(at)].device.set_under_load(now);
                at
            }
            Step::Down { at } => {
                let machine_at = &mut self.machines[machine(at)];
                machine_at.device.down();
                machine_at.beliefs.iter_mut().for_each(belief::Belief::end);
                at
            }
            Step::Up { at } => {
                self.machines[machine(at)].device.up(now);
                at
            }
            Step::Clock { at, how } => {
                let clock = &mut self.machines[machine(at)].clock;
                clock.fault = match how % 8 {
                    0 => Some(ClockUnavailable::NotSet),
                    1 => Some(ClockUnavailable::Reserve),
                    _ => None,
                };
                match how % 8 {
                    2 => clock.secs = 0,
                    3 => clock.secs += 400_000_000,
                    _ => {}
                }
                at
            }
            Step::Random { at, byte } => {
                // Two broken generators may agree on keys: what then happens is no fault.
                self.machines.iter_mut().for_each(|machine| machine.random.stuck = None);
                self.machines[machine(at)].random.stuck = (byte % 2 == 0).then_some(byte);
                at
            }
            Step::Reboot { at } => {
                if let Some(room) = self.spare.pop() {
                    self.machines[machine(at)].reboot(now, room);
                    if machine(at) == 0 {
                        self.routes = [None, Some(1), Some(2)];
                    }
                }
                at
            }
            _ => unreachable!("the network's and the hosts' steps are served before"),
        };
        self.drain(machine(at));
    }

    /// A host's packet, under its own inner address or another's.
    fn host_sends(&mut self, from: usize, to: usize, source: u8) {
        let inner = match source {
            0..224 => from,
            _ => machine(source),
        };
        let packet = self.packet(inner, to);
        self.send(from, &packet);
        // Another input may come before a machine gets to send what the last one asked for.
        if (160..224).contains(&source) {
            self.machines[from].unpolled = true;
        } else {
            self.drain(from);
        }
    }

    /// A datagram arrives at whom it is for.
    fn carry(&mut self, datagram: &Datagram, address: u8, mark: u8) {
        let mark = if mark < 192 { 0 } else { mark };
        self.arrive(datagram, datagram.to, origin(datagram, address), mark);
    }

    fn recorded(&self, which: u8) -> Option<Datagram> {
        let place = usize::from(which).checked_rem(self.record.len())?;
        self.record.get(place).cloned()
    }

    /// A cookie for a message that the adversary saw, in the name of whom it was for.
    fn forge_cookie(&mut self, which: u8, to: u8, address: u8) {
        let Some(seen) = self.recorded(which).filter(|seen| [1, 2].contains(&seen.bytes[0])) else {
            return;
        };
        let bytes = cookie_reply(machine::public(seen.to).as_bytes(), &seen.bytes, [to; 16]);
        let to = seen.by.unwrap_or(0);
        let forged = Datagram { by: None, to, bytes, ..seen };
        self.carry(&forged, address | 0x80, 0);
    }

    /// Time passes, and deadlines are served as they come.
    fn wait(&mut self, time: Duration) {
        let end = self.now.saturating_add(time);
        while let Some((due, at)) = self.next_deadline().filter(|(due, _)| *due <= end) {
            self.now = self.now.max(due);
            self.serve(at);
        }
        self.now = end;
    }

    fn next_deadline(&mut self) -> Option<(wg_core::Instant, usize)> {
        let machines = self.machines.iter_mut().enumerate();
        machines.filter_map(|(at, m)| Some((m.device.poll_timeout()?.0, at))).min()
    }

    /// Everything arrives in order, soon after it was sent.
    fn calm(&mut self, time: Duration) {
        let end = self.now.saturating_add(time);
        while self.now < end {
            let left = end.saturating_since(self.now);
            // What is sent while this arrives is for the next round.
            let due: Vec<_> = self.flights.drain(..).collect();
            if due.is_empty() && self.next_deadline().is_none_or(|(at, _)| at >= end) {
                break;
            }
            let pause = if due.is_empty() {
                let (at, _) = self.next_deadline().unwrap();
                at.saturating_since(self.now).max(Duration::from_micros(1))
            } else {
                LATENCY
            };
            self.wait(pause.min(left));
            for datagram in due {
                self.carry(&datagram, 0, 0);
            }
        }
        self.now = end;
    }

    /// There is no state from which sessions do not come up again in the protocol's time.
    fn recovers(&mut self) {
        (0..MACHINES).for_each(|at| self.serve(at));
        self.heal();
        self.counts = Default::default();
        for waited in 0.. {
            assert!(waited < RECOVERY, "no packets both ways: {:?}", self.counts);
            for other in 1..MACHINES {
                self.host_sends(0, other, 0);
                self.host_sends(other, 0, 0);
            }
            self.calm(Duration::from_secs(1));
            let ways = (1..MACHINES).flat_map(|other| [(0, other), (other, 0)]);
            if ways.into_iter().all(|(to, from)| self.counts[to][from] > 0) {
                break;
            }
        }
        debug_assert!(are_peers(0, 1) && !are_peers(1, 2));
    }
}

/// Where a datagram seems to come from: its sender's address, its NAT's next one, or the
/// adversary's.
fn origin(datagram: &Datagram, address: u8) -> std::net::SocketAddr {
    match (datagram.by, address) {
        (Some(by), 0..128) => outer(by, 0),
        (Some(by), 128..224) => outer(by, 1),
        _ => ATTACKER.parse().unwrap(),
    }
}

/// Changes a datagram. Nobody owns to it afterwards, unless only its mac2 changed, which is
/// looked at under load alone.
fn damage(datagram: &mut Datagram, place: usize, how: u8) {
    let len = datagram.bytes.len();
    let mut mac2 = false;
    match how % 4 {
        0 => datagram.bytes.truncate(place % len),
        1 => datagram.bytes.extend_from_slice(&[how; 16]),
        _ => {
            let at = place % len;
            datagram.bytes[at] ^= 1 << (how / 4 % 8);
            mac2 = matches!(datagram.bytes[0], 1 | 2) && at >= len - 16;
        }
    }
    if !mac2 {
        datagram.by = None;
    }
}
