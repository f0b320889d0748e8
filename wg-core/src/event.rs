//! What happened that an application may want to know.

use crate::peer_id::PeerId;

/// News of one peer. Events of one kind that nobody fetched are one event.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Event {
    /// The peer's address changed, by an authenticated packet from a new one.
    EndpointMoved(PeerId),
    /// The current session turned 180 s old, or its keys were wiped: nothing more can be sent.
    SessionExpired(PeerId),
    /// No answer came to all tries. Packets that wait for this peer are to be dropped.
    HandshakeGivenUp(PeerId),
    /// A new session can send: now is the time for the packets that wait for this peer.
    SessionUp(PeerId),
}

/// The events of one peer that nobody has fetched yet, a bit each.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct News(u8);

impl News {
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const ENDPOINT_MOVED: Self = Self(1);
    pub(crate) const SESSION_EXPIRED: Self = Self(1 << 1);
    pub(crate) const HANDSHAKE_GIVEN_UP: Self = Self(1 << 2);
    pub(crate) const SESSION_UP: Self = Self(1 << 3);

    pub(crate) fn add(&mut self, news: Self) {
        self.0 |= news.0;
    }

    pub(crate) fn remove(&mut self, news: Self) {
        self.0 &= !news.0;
    }

    /// Takes the first piece, in the order of the constants.
    pub(crate) fn take(&mut self, peer: PeerId) -> Option<Event> {
        let first = Self(self.0 & self.0.wrapping_neg());
        self.0 &= !first.0;
        match first {
            Self::ENDPOINT_MOVED => Some(Event::EndpointMoved(peer)),
            Self::SESSION_EXPIRED => Some(Event::SessionExpired(peer)),
            Self::HANDSHAKE_GIVEN_UP => Some(Event::HandshakeGivenUp(peer)),
            Self::SESSION_UP => Some(Event::SessionUp(peer)),
            _ => None,
        }
    }
}
