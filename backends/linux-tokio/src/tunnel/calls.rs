//! Handshake messages wait, so that data does not wait for them.

use std::collections::VecDeque;

use arrayvec::ArrayVec;
use wg_core::{INITIATION_LEN, Received, Source};

use super::Tunnel;
use crate::packets::Packets;
use crate::time::now;

/// As many wait; the kernel lets ten times as many wait, for threads of their own.
const MOST: usize = 512;
/// As many are answered before data has its turn. One costs up to four X25519 operations.
const TURN: usize = 8;
/// What handshake messages begin with: an initiation, a response, a cookie.
const KINDS: core::ops::RangeInclusive<u8> = 1..=3;

/// Messages that ask for work, oldest first.
///
/// One that a data message of its sender overtakes is not worse off: nobody sends data in a session
/// before the other side has answered.
#[derive(Default, Debug)]
pub(super) struct Calls {
    waiting: VecDeque<(Source, ArrayVec<u8, INITIATION_LEN>)>,
    /// How many found no place.
    dropped: u64,
}

impl Calls {
    /// Takes a message that may wait; false for any other datagram.
    pub(super) fn take(&mut self, source: Source, datagram: &[u8]) -> bool {
        let is_call = datagram.first().is_some_and(|kind| KINDS.contains(kind));
        let Some(message) = ArrayVec::try_from(datagram).ok().filter(|_| is_call) else {
            return false;
        };
        if self.waiting.len() < MOST {
            self.waiting.push_back((source, message));
        } else {
            self.dropped += 1;
        }
        true
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn count(&self) -> usize {
        self.waiting.len()
    }

    /// How many came when too many waited already.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }
}

impl<P: Packets> Tunnel<P> {
    /// Answers some of those that wait.
    pub(super) async fn answer_calls(&mut self) {
        for _ in 0..TURN {
            let Some((source, mut message)) = self.calls.waiting.pop_front() else { break };
            self.handle(source, &mut message);
        }
        self.flush().await;
    }

    /// Handles one datagram by itself.
    pub(super) fn handle(&mut self, source: Source, datagram: &mut [u8]) {
        let now = now();
        let received = self.engine.lock().handle_datagram(now, &mut self.rng, source, datagram);
        match received {
            Ok(Received::Packet { packet, .. }) => self.arrivals.push(packet),
            Ok(Received::Reply(reply)) => self.outbox.push(&reply),
            Ok(_) => {}
            Err(refusal) => self.journal.refused_datagram(now, source.remote, refusal),
        }
        self.drain(now);
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use wg_core::Ecn;

    use super::*;

    #[test]
    fn calls_wait_in_order_and_too_many_are_counted() {
        let remote = SocketAddr::from(([192, 0, 2, 1], 1));
        let source = Source { remote, local: None, ecn: Ecn::NotCapable };
        let mut calls = Calls::default();
        assert!(!calls.take(source, &[]));
        assert!(!calls.take(source, &[4; 148]), "data");
        assert!(!calls.take(source, &[1; 149]), "too long for any");
        for number in 0..MOST + 3 {
            let mut message = [1; INITIATION_LEN];
            message[1..9].copy_from_slice(&number.to_be_bytes());
            assert!(calls.take(source, &message));
        }
        assert_eq!(calls.dropped(), 3);
        let numbers = calls.waiting.iter().map(|(_, message)| message[1..9].try_into().unwrap());
        assert!(numbers.map(usize::from_be_bytes).eq(0..MOST));
    }
}
