//! Strangers: who knows a machine's public key and its address, and nothing else.

use std::net::SocketAddr;
use std::time::Duration;

use wg_core::rand_core::TryRng;
use wg_core::{Instant, Received, Refusal};

use super::machine::{Machine, public};
use super::network::Network;
use crate::oracle::{open_cookie_reply, sign};
use crate::pair::Seeded;

const SECOND: Duration = Duration::from_secs(1);

/// The budget of a second. Without load, a second ends where the next one begins, so that a
/// window across both sees twice as much.
const MOST_IN_A_SECOND: usize = 2 * 5;

impl Machine<'_> {
    /// The device did a curve operation because somebody sent something.
    pub fn work(&mut self, now: Instant) {
        self.worked.push_back(now);
        while self.worked.front().is_some_and(|first| now.has_reached(*first, SECOND)) {
            self.worked.pop_front();
        }
        let worked = self.worked.len();
        assert!(worked <= MOST_IN_A_SECOND, "{worked} handshake messages worked on in a second");
    }
}

impl Network<'_> {
    /// Each of some strangers calls, and again with its cookie, if it gets one.
    pub fn flood(&mut self, to: usize, sources: u8, rounds: u8) {
        let mut noise = Seeded(u64::from(sources));
        let key = *public(to).as_bytes();
        for _ in 0..rounds {
            for source in 0..sources {
                let from = SocketAddr::from(([203, 0, 113, source], 1));
                let mut message = [0; 148];
                let Ok(()) = noise.try_fill_bytes(&mut message);
                message[..4].copy_from_slice(&[1, 0, 0, 0]);
                sign(&mut message, &key, None);
                let Some(reply) = self.call(to, from, message) else { continue };
                let cookie = open_cookie_reply(&reply, &key, &message).expect("a cookie for it");
                sign(&mut message, &key, Some(cookie));
                assert_eq!(self.call(to, from, message), None, "a cookie, for one with a cookie");
            }
        }
    }

    /// The cookie reply to a stranger's initiation, which is never answered otherwise.
    fn call(&mut self, to: usize, from: SocketAddr, mut message: [u8; 148]) -> Option<Vec<u8>> {
        let now = self.now;
        let before = self.view(to);
        let machine = &mut self.machines[to];
        let received =
            machine.device.handle_datagram(now, &mut machine.random, from.into(), &mut message);
        let reply = match received {
            Ok(Received::Reply(transmit)) => {
                assert_eq!((transmit.datagram[0], transmit.to.remote), (3, from));
                Some(transmit.datagram.to_vec())
            }
            Err(Refusal::StaticUndecryptable) => {
                machine.work(now);
                None
            }
            Err(
                Refusal::SourceLimit
                | Refusal::Down
                | Refusal::NoPrivateKey
                | Refusal::Mac1Mismatch
                | Refusal::ZeroSharedSecret,
            ) => None,
            other => panic!("a stranger's initiation: {other:?}"),
        };
        assert_eq!(self.view(to), before, "a stranger left a trace");
        reply
    }
}
