//! The way of a packet from the host's stack to the tunnel's thread.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::event::{EventfdFlags, eventfd};
use wg_core::{DATA_HEADER_LEN, DATA_OVERHEAD, TAG_LEN};

/// Packets on their way, those that wait for a session included.
pub(crate) const FRAMES: usize = 8;

/// A packet with the room around it in which it is sealed.
#[derive(Debug)]
pub(crate) struct Frame {
    bytes: Box<[u8]>,
    len: usize,
}

impl Frame {
    fn new(mtu: u16) -> Self {
        let room = usize::from(mtu).next_multiple_of(16) + DATA_OVERHEAD;
        Self { bytes: vec![0; room].into(), len: 0 }
    }

    /// Where a packet of `len` bytes belongs, if it fits.
    fn packet_mut(&mut self, len: usize) -> Option<&mut [u8]> {
        let end = self.bytes.len().checked_sub(TAG_LEN)?;
        self.bytes.get_mut(DATA_HEADER_LEN..end)?.get_mut(..len)
    }

    /// The packet.
    pub(crate) fn packet(&self) -> &[u8] {
        self.bytes.get(DATA_HEADER_LEN..DATA_HEADER_LEN + self.len).unwrap_or_default()
    }

    /// What the engine seals: all of it, and the packet's length.
    pub(crate) fn parts(&mut self) -> (&mut [u8], usize) {
        (&mut self.bytes, self.len)
    }
}

/// A bounded queue: the host's stack puts packets in, the tunnel's thread takes them.
///
/// Putting one in never waits: lwIP does it under its core lock. When there is no room the
/// packet is refused and counted, and TCP tries again.
#[derive(Debug)]
pub struct Outbound {
    mtu: u16,
    state: Mutex<State>,
    wake: OwnedFd,
}

#[derive(Debug)]
struct State {
    vacant: Vec<Frame>,
    ready: VecDeque<Frame>,
    dropped: u32,
}

impl Outbound {
    pub(crate) fn new(mtu: u16) -> io::Result<Self> {
        #[cfg(target_os = "espidf")]
        crate::netif::prepare_eventfd()?;
        // ESP-IDF's eventfd knows no flags. It is read only when there is something to read.
        #[cfg(target_os = "espidf")]
        let flags = EventfdFlags::empty();
        #[cfg(not(target_os = "espidf"))]
        let flags = EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC;
        let vacant = (0..FRAMES).map(|_| Frame::new(mtu)).collect();
        let state = State { vacant, ready: VecDeque::with_capacity(FRAMES), dropped: 0 };
        Ok(Self { mtu, state: Mutex::new(state), wake: eventfd(0, flags)? })
    }

    /// Takes a packet of `len` bytes, which `fill` writes; false when there is no room for it, or
    /// when it is longer than the tunnel's MTU. Counted.
    pub fn offer(&self, len: usize, fill: impl FnOnce(&mut [u8])) -> bool {
        let Some(mut frame) = self.vacant_for(len) else { return false };
        // Copied outside the lock: the other side never waits for it.
        if let Some(room) = frame.packet_mut(len) {
            fill(room);
        }
        frame.len = len;
        self.state().ready.push_back(frame);
        self.wake();
        true
    }

    fn vacant_for(&self, len: usize) -> Option<Frame> {
        let mut state = self.state();
        let vacant = if len <= usize::from(self.mtu) { state.vacant.pop() } else { None };
        if vacant.is_none() {
            state.dropped = state.dropped.saturating_add(1);
        }
        vacant
    }

    /// The next packet, in order.
    pub(crate) fn take(&self) -> Option<Frame> {
        self.state().ready.pop_front()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.state().ready.is_empty()
    }

    /// Gives a frame back for the next packet.
    pub(crate) fn give_back(&self, frame: Frame) {
        self.state().vacant.push(frame);
    }

    pub(crate) fn dropped(&self) -> u32 {
        self.state().dropped
    }

    /// Wakes the tunnel's thread.
    pub(crate) fn wake(&self) {
        // It fails when it is full of wakes that nobody has fetched.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    /// What becomes readable when the thread is to wake.
    pub(crate) fn bell(&self) -> &OwnedFd {
        &self.wake
    }

    /// Fetches the wakes.
    pub(crate) fn hush(&self) {
        let _ = rustix::io::read(&self.wake, &mut [0; 8]);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_refuses_and_counts_and_recovers() {
        let outbound = Outbound::new(100).unwrap();
        for byte in 0..FRAMES {
            assert!(outbound.offer(20, |packet| packet.fill(byte as u8)));
        }
        assert!(!outbound.offer(20, |_| panic!("there is no room")));
        let first = outbound.take().unwrap();
        assert_eq!(first.packet(), [0; 20]);
        outbound.give_back(first);
        assert!(outbound.offer(100, |packet| packet.fill(9)));
        assert_eq!(outbound.dropped(), 1);
        let order: Vec<_> =
            core::iter::from_fn(|| outbound.take()).map(|f| f.packet()[0]).collect();
        assert_eq!(order, [1, 2, 3, 4, 5, 6, 7, 9]);
    }

    #[test]
    fn a_packet_longer_than_the_mtu_is_refused_though_it_would_fit_the_padding() {
        let outbound = Outbound::new(100).unwrap();
        assert!(!outbound.offer(101, |_| panic!("it is too long")));
        assert_eq!((outbound.dropped(), outbound.is_empty()), (1, true));
    }
}
