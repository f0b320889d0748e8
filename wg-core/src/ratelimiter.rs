//! Whose handshake messages are worked on while the device is under load (whitepaper section
//! 5.3).
//!
//! Asked only after a valid mac2, so that the source address is not a forged one. How much is
//! worked on in all is `load.rs`'s to say. Here it is shared: first those known to us, then
//! everybody once in a while, then whoever comes first.

use core::net::IpAddr;

use rand_core::CryptoRng;

use crate::constants::{SOURCE_BURST, SOURCE_MESSAGES_PER_SECOND};
use crate::crypto;
use crate::load::{Load, Share};
use crate::table::Table;
use crate::time::Instant;

/// A message is paid for with this much of its source's time.
const COST: u32 = 1_000_000 / SOURCE_MESSAGES_PER_SECOND;

/// How far ahead of the time a source may already have paid, and send once more.
const CREDIT: u32 = COST * (SOURCE_BURST - 1);

/// The blocks in which a sender may have its place.
const NEAR: u32 = 4;

/// The number of blocks where there is a heap.
const GROWN: u32 = 128;

/// The limiter's own unit of time: 2^20 microseconds, hardly more than a second.
const UNIT_BITS: u32 = 20;

/// Everybody's turn comes once in a round of so many units, 38 s.
///
/// 64 sources have had theirs after 21 s, at 3 a second, and whenever they take them, there are
/// gaps enough for one more that asks every 5.3 s.
const ROUND: u32 = 36;

/// The turns of a second that one block remembers until the round ends.
const TURNS_PER_BLOCK: u16 = 3;

/// The length of a block's Bloom filter. Of sources that had no turn it takes one in 220 for one
/// that had, when 64 had theirs.
const WORDS: usize = 23;
const BITS: u32 = 32 * WORDS as u32;

/// A known address may use the reserved share once in so many units. A peer asks every 5 s.
const KNOWN_REST: u16 = 4;

/// What a handshake message asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    Initiation,
    /// A response to a handshake of ours.
    Answer,
    /// A response to none: no curve operation.
    Nothing,
}

/// One source, by the generic cell rate algorithm: the time up to which it has paid says all.
#[derive(Clone, Copy)]
struct Sender {
    /// Zero when nobody's.
    source: u32,
    /// Microseconds. The source is as good as new when it is not in the near future.
    paid_until: u32,
}

impl Sender {
    /// How far ahead it has paid.
    fn ahead(&self, now: u32) -> u32 {
        let ahead = self.paid_until.wrapping_sub(now);
        if self.source == 0 || ahead > CREDIT + COST { 0 } else { ahead }
    }
}

/// What is remembered for each peer that there is room for.
///
/// Nothing has to be swept: senders become idle by themselves within
/// `SOURCE_BURST / SOURCE_MESSAGES_PER_SECOND` seconds, and a round that is over is noticed by
/// its number.
#[derive(Clone, Copy)]
pub(crate) struct Block {
    /// Addresses of peers that have or had a session, the newest first; zero is none.
    known: [u32; 3],
    /// When they last used the reserved share.
    known_used: [u16; 3],
    /// The round that `served` is of.
    round: u16,
    sender: Sender,
    /// A Bloom filter of those that had their turn in this round.
    served: [u32; WORDS],
}

impl Block {
    pub(crate) const BLANK: Self = Self {
        known: [0; 3],
        known_used: [0; 3],
        round: 0,
        sender: Sender { source: 0, paid_until: 0 },
        served: [0; WORDS],
    };
}

/// An address as the limiter sees it.
struct Source {
    network: Network,
    /// Never zero.
    name: u32,
    home: u32,
    coin: u32,
}

/// An IPv4 address, however it is written, or the /64 of an IPv6 address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Network {
    V4(u32),
    V6(u64),
}

impl From<IpAddr> for Network {
    fn from(addr: IpAddr) -> Self {
        match addr.to_canonical() {
            IpAddr::V4(addr) => Self::V4(addr.to_bits()),
            IpAddr::V6(addr) => Self::V6((addr.to_bits() >> 64) as u64),
        }
    }
}

/// The sources that sent lately, those that had their turn, and those we know, in blocks chosen
/// by a keyed hash.
pub(crate) struct RateLimiter<'a> {
    blocks: Table<'a, Block>,
    /// Nobody can choose sources that meet in a place.
    hash_key: Option<[u8; 16]>,
}

impl<'a> RateLimiter<'a> {
    /// A limiter over blank blocks, or a table that grows.
    pub(crate) const fn new(blocks: Table<'a, Block>) -> Self {
        Self { blocks, hash_key: None }
    }

    /// Makes the key of the hash, unless there is one. Before that nothing is remembered.
    #[cfg_attr(target_os = "none", inline(never))] // for flash
    pub(crate) fn seed(&mut self, rng: &mut dyn CryptoRng) {
        self.hash_key.get_or_insert_with(|| {
            let mut key = [0; 16];
            rng.fill_bytes(&mut key);
            key
        });
        while self.blocks.len() < GROWN && self.blocks.grow() {}
    }

    /// Messages in a second that come in turn: as many as there is memory for in a round.
    pub(crate) fn turns(&self) -> u16 {
        let blocks = u16::try_from(self.blocks.len()).unwrap_or(u16::MAX);
        blocks.saturating_mul(TURNS_PER_BLOCK)
    }

    /// A peer has a session, and is at this address. Looks at 3 entries.
    pub(crate) fn learn(&mut self, now: Instant, addr: IpAddr) {
        let Some(source) = self.source(addr.into()) else { return };
        let Some(block) = self.blocks.get_mut(source.home) else { return };
        let before = block.known.iter().position(|known| *known == source.name);
        let oldest = block.known.len().saturating_sub(1);
        let (known, used) = (&mut block.known, &mut block.known_used);
        let moved = before.unwrap_or(oldest).saturating_add(1);
        if let Some(known) = known.get_mut(..moved) {
            known.rotate_right(1);
        }
        if let Some(used) = used.get_mut(..moved) {
            used.rotate_right(1);
        }
        if before.is_none() {
            let [newest, ..] = known;
            *newest = source.name;
            let [newest, ..] = used;
            *newest = (units(now) as u16).wrapping_sub(KNOWN_REST);
        }
    }

    /// Counts a message, and says whether it is to be worked on. One that is not costs its
    /// source nothing. Looks at 8 entries at most.
    pub(crate) fn allow(
        &mut self,
        now: Instant,
        rng: &mut dyn CryptoRng,
        load: &mut Load,
        addr: IpAddr,
        work: Work,
    ) -> bool {
        self.seed(rng);
        let Some(source) = self.source(addr.into()) else { return false };
        let micros = now.as_micros() as u32;
        let place = self.place(micros, &source);
        let sender = place.and_then(|place| self.blocks.get(place)).map(|block| &block.sender);
        let sender = sender.filter(|sender| sender.source == source.name);
        let ahead = sender.map_or(0, |sender| sender.ahead(micros));
        if ahead > CREDIT {
            return false;
        }
        let turns = self.turns();
        let allowed = work == Work::Nothing
            || work == Work::Answer && load.take(now, Share::Reserved, turns)
            || self.is_known(now, load, &source)
            || self.has_its_turn(now, load, &source)
            || place.is_some() && load.take(now, Share::FirstCome, turns);
        if allowed && let Some(block) = place.and_then(|place| self.blocks.get_mut(place)) {
            let paid_until = micros.wrapping_add(ahead).wrapping_add(COST);
            block.sender = Sender { source: source.name, paid_until };
        }
        allowed
    }

    /// The reserved share, for the address of a peer.
    fn is_known(&mut self, now: Instant, load: &mut Load, source: &Source) -> bool {
        let (time, turns) = (units(now) as u16, self.turns());
        let Some(block) = self.blocks.get_mut(source.home) else { return false };
        let mut known = block.known.iter().zip(&mut block.known_used);
        let Some((_, used)) = known.find(|(known, _)| **known == source.name) else { return false };
        if time.wrapping_sub(*used) < KNOWN_REST || !load.take(now, Share::Reserved, turns) {
            return false;
        }
        *used = time;
        true
    }

    /// The share that goes around.
    fn has_its_turn(&mut self, now: Instant, load: &mut Load, source: &Source) -> bool {
        let round = (units(now) / ROUND) as u16;
        let turns = self.turns();
        let Some([home, words @ ..]) = self.party(round, source) else { return false };
        let home = scale(home, self.blocks.len());
        let Some(block) = self.blocks.get_mut(home) else { return false };
        if block.round != round {
            block.round = round;
            block.served = [0; WORDS];
        }
        // Each word says two of six places.
        let [a, b, c] = words;
        let marks = [a, a << 16, b, b << 16, c, c << 16].map(|hash| scale(hash, BITS));
        let is_set = |mark: &u32| {
            let word = block.served.get((mark >> 5) as usize);
            word.is_none_or(|word| word >> (mark & 31) & 1 == 1)
        };
        if marks.iter().all(is_set) || !load.take(now, Share::InTurn, turns) {
            return false;
        }
        for mark in marks {
            if let Some(word) = block.served.get_mut((mark >> 5) as usize) {
                *word |= 1 << (mark & 31);
            }
        }
        true
    }

    /// Those who have one turn together, hashed.
    ///
    /// A /64 of IPv6 is no unit: a site has many. Of all in a /56 two can have a turn, and of
    /// all in a /48 eight. Who goes with whom changes with the round.
    fn party(&self, round: u16, source: &Source) -> Option<[u32; 4]> {
        let round_bytes = round.to_le_bytes();
        match source.network {
            Network::V4(addr) => self.hash(&[b"4", &round_bytes, &addr.to_le_bytes()]),
            Network::V6(network) => {
                let [quarter, ..] =
                    self.hash(&[b"q", &round_bytes, &(network >> 8).to_le_bytes()])?;
                let part = (quarter & 3) << 1 | (source.coin >> (round & 31) & 1);
                let site = network >> 16;
                self.hash(&[b"6", &round_bytes, &site.to_le_bytes(), &[part as u8]])
            }
        }
    }

    /// The block where the sender is, or where it can be.
    fn place(&self, now: u32, source: &Source) -> Option<u32> {
        let blocks = self.blocks.len();
        let mut idle = None;
        for step in 0..NEAR.min(blocks) {
            let next = source.home.saturating_add(step);
            let place = next.checked_sub(blocks).unwrap_or(next);
            let sender = &self.blocks.get(place)?.sender;
            if sender.source == source.name {
                return Some(place);
            }
            if idle.is_none() && sender.ahead(now) == 0 {
                idle = Some(place);
            }
        }
        idle
    }

    fn source(&self, network: Network) -> Option<Source> {
        let [name, home, coin, _] = match network {
            Network::V4(addr) => self.hash(&[b"s", &addr.to_le_bytes()]),
            Network::V6(network) => self.hash(&[b"s", &network.to_le_bytes()]),
        }?;
        Some(Source { network, name: name.max(1), home: scale(home, self.blocks.len()), coin })
    }

    fn hash(&self, parts: &[&[u8]]) -> Option<[u32; 4]> {
        let hash = u128::from_le_bytes(crypto::mac(self.hash_key.as_ref()?, parts));
        Some([hash as u32, (hash >> 32) as u32, (hash >> 64) as u32, (hash >> 96) as u32])
    }
}

/// A number below `count`, as evenly spread as the hash.
fn scale(hash: u32, count: u32) -> u32 {
    ((u64::from(hash) * u64::from(count)) >> 32) as u32
}

fn units(now: Instant) -> u32 {
    (now.as_micros() >> UNIT_BITS) as u32
}

#[cfg(test)]
mod tests;
