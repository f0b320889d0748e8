//! The inside of the tunnel: packets.

#[cfg(feature = "embassy")]
mod embassy;
#[cfg(feature = "smoltcp")]
mod smoltcp;

use core::cell::RefCell;
use core::fmt;
use core::future::poll_fn;
use core::task::{Context, Poll};

use crate::frame::{Fate, packet};
use crate::link::LinkPolicy;
use crate::shared::{Shared, State};

/// The inside of a tunnel: what a network stack, or a program that makes packets itself, sees
/// of it.
///
/// It is a driver of embassy-net (feature `embassy`) and a device of smoltcp (feature
/// `smoltcp`), both of raw IP packets, without Ethernet. Packets are written and read where
/// they are sealed and opened: none is copied in here.
///
/// Sending never holds back receiving: an answer to a received packet that finds no room takes
/// that of the packet that waited longest ([`Counters::displaced`](crate::Counters)).
pub struct Interface<'d> {
    shared: &'d RefCell<Shared<'d>>,
    /// Where the stack writes. Between two packets it holds none that can be read.
    frame: &'d mut [u8],
    mtu: usize,
    largest_mtu: usize,
}

/// What a host of IPv4 carries at least (RFC 791). All resources have as much.
const LEAST_MTU: usize = 68;

/// A packet that came, for a network stack. It stays when the token is dropped.
#[cfg(any(feature = "embassy", feature = "smoltcp"))]
pub struct RxToken<'a, 'd> {
    shared: &'a RefCell<Shared<'d>>,
}

/// Room for a packet of a network stack.
#[cfg(any(feature = "embassy", feature = "smoltcp"))]
pub struct TxToken<'a, 'd> {
    shared: &'a RefCell<Shared<'d>>,
    frame: &'a mut &'d mut [u8],
}

/// A packet is longer than the MTU, and was not sent; or an MTU is larger than the resources have
/// room for, and was not set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct TooLong {
    /// The largest packet, or the largest MTU.
    pub mtu: usize,
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "longer than {} bytes: send less, or give Resources a larger MTU", self.mtu)
    }
}

impl core::error::Error for TooLong {}

impl<'d> Interface<'d> {
    pub(crate) fn new(
        shared: &'d RefCell<Shared<'d>>,
        frame: &'d mut [u8],
        largest_mtu: usize,
        whole: usize,
    ) -> Self {
        let mut interface = Self { shared, frame, mtu: 0, largest_mtu };
        interface.apply_mtu(largest_mtu.min(whole));
        interface
    }

    /// The length of the largest packet.
    pub fn mtu(&self) -> usize {
        self.mtu
    }

    /// Sets the MTU. Before the interface goes to a stack, which asks for it only once. Less than
    /// 68, which IPv4 needs, counts as 68: stacks panic at less.
    ///
    /// # Errors
    /// [`TooLong`], when the resources have no room for such packets.
    pub fn set_mtu(&mut self, mtu: usize) -> Result<(), TooLong> {
        if mtu > self.largest_mtu {
            return Err(TooLong { mtu: self.largest_mtu });
        }
        self.apply_mtu(mtu);
        Ok(())
    }

    fn apply_mtu(&mut self, mtu: usize) {
        self.mtu = mtu.max(LEAST_MTU);
        let mtu = self.mtu;
        self.shared.borrow_mut().device.set_mtu(mtu.try_into().unwrap_or(u16::MAX));
    }

    /// Says when the link is up.
    pub fn set_link_policy(&mut self, policy: LinkPolicy) {
        self.shared.borrow_mut().set_policy(policy);
    }

    /// Sends a copy of a packet when there is room for it. Dropping the future sends nothing.
    ///
    /// In a tunnel that does not run there is always room, since newer packets displace older
    /// ones. Other tasks have a turn there before each packet.
    ///
    /// What cannot be sent, for want of a route for example, is counted by the engine:
    /// [`Handle::refusals`](crate::Handle::refusals).
    ///
    /// # Errors
    /// [`TooLong`]: nothing was sent.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        if bytes.len() > self.mtu {
            return Err(TooLong { mtu: self.mtu });
        }
        let mut yielded = false;
        poll_fn(|cx| {
            let runs = self.shared.borrow().state == State::Running;
            if !runs && !core::mem::replace(&mut yielded, true) {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if self.poll_room(cx) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        self.write(bytes.len(), |packet| packet.copy_from_slice(bytes));
        Ok(())
    }

    /// Sends a copy of a packet now. False when there is no room for it.
    ///
    /// # Errors
    /// [`TooLong`]: nothing was sent.
    pub fn try_send(&mut self, bytes: &[u8]) -> Result<bool, TooLong> {
        if bytes.len() > self.mtu {
            return Err(TooLong { mtu: self.mtu });
        }
        let room = self.shared.borrow().has_room();
        if room {
            self.write(bytes.len(), |packet| packet.copy_from_slice(bytes));
        }
        Ok(room)
    }

    /// Waits for a packet, and lends it to `read`. Dropping the future loses none.
    pub async fn receive<A>(&mut self, read: impl FnOnce(&mut [u8]) -> A) -> A {
        poll_fn(|cx| if self.poll_arrived(cx) { Poll::Ready(()) } else { Poll::Pending }).await;
        read_oldest(self.shared, read)
    }

    /// Lends the oldest packet that came to `read`; `None` when there is none.
    pub fn try_receive<A>(&mut self, read: impl FnOnce(&mut [u8]) -> A) -> Option<A> {
        self.has_arrived().then(|| read_oldest(self.shared, read))
    }

    fn has_arrived(&self) -> bool {
        self.shared.borrow().inbound.count(|fate| fate == Fate::Queued) > 0
    }

    fn poll_arrived(&self, cx: &Context<'_>) -> bool {
        let arrived = self.has_arrived();
        if !arrived {
            self.shared.borrow_mut().waiting.receive.register(cx);
        }
        arrived
    }

    fn poll_room(&self, cx: &Context<'_>) -> bool {
        let mut shared = self.shared.borrow_mut();
        let room = shared.has_room();
        if !room {
            shared.waiting.transmit.register(cx);
        }
        room
    }

    /// Lends room for a packet to `fill`, and sends it.
    fn write<A>(&mut self, len: usize, fill: impl FnOnce(&mut [u8]) -> A) -> A {
        write(self.shared, &mut self.frame, len, fill)
    }
}

/// Not borrowed while the stack writes: it may do so while it reads.
fn write<'d, A>(
    shared: &RefCell<Shared<'d>>,
    frame: &mut &'d mut [u8],
    len: usize,
    fill: impl FnOnce(&mut [u8]) -> A,
) -> A {
    let answer = fill(packet(frame, len));
    shared.borrow_mut().enqueue(frame, len);
    answer
}

fn read_oldest<A>(shared: &RefCell<Shared<'_>>, read: impl FnOnce(&mut [u8]) -> A) -> A {
    // Taken in a statement of its own: the stack may answer while it reads.
    let taken = shared.borrow_mut().inbound.take_queued();
    match taken {
        Some((frame, len)) => {
            let answer = read(packet(frame, len));
            shared.borrow_mut().inbound.give_back(frame);
            answer
        }
        // Another reader was faster, which `&mut self` rules out.
        None => read(&mut []),
    }
}

#[cfg(test)]
mod tests {
    use chacha20::ChaCha20Rng;
    use chacha20::rand_core::SeedableRng;
    use wg_core::{INITIATION_LEN, Increasing, Instant};

    use super::*;
    use crate::resources::Resources;

    /// An IPv4 packet to nowhere, full of what nobody is to find in the memory of a tunnel.
    const SECRET: [u8; 68] = {
        let mut packet = [0xa5; 68];
        packet[0] = 0x45;
        packet
    };

    /// Whether a packet stands in any frame that is neither queued nor away. Their number is that
    /// of the packets that go in before one is displaced, and the interface's own.
    fn finds_secret(interface: &mut Interface<'_>) -> bool {
        let mut found = interface.frame.contains(&0xa5);
        while interface.shared.borrow().outbound.has_vacancy() {
            interface.try_send(&[0x45]).unwrap();
            found |= interface.frame.contains(&0xa5);
        }
        found
    }

    #[test]
    fn a_packet_that_was_not_sent_is_wiped_whatever_became_of_it() {
        let mut resources = Resources::<1, 1, 68, 2, 3>::new();
        let parts = resources.parts();
        let mut interface = Interface::new(parts.shared, parts.leaving, parts.largest_mtu, 68);

        for sent in 1..4 {
            interface.try_send(&SECRET).unwrap();
            assert!(!interface.frame.contains(&0xa5), "displaced after {sent}");
        }
        assert_eq!(interface.shared.borrow().counters.displaced, 1);

        interface.shared.borrow_mut().start(Instant::ZERO);
        let mut clock = Increasing::new(|| None, None);
        let mut rng = ChaCha20Rng::from_seed([7; 32]);
        let sent = interface.shared.borrow_mut().next_datagram(
            Instant::ZERO,
            &mut clock,
            &mut rng,
            &mut [0; INITIATION_LEN],
            &mut &mut [][..],
            |_| usize::MAX,
        );
        assert_eq!(sent, None);
        assert_eq!(interface.shared.borrow().counters.refused, 2);
        assert!(!finds_secret(&mut interface), "refused");

        interface.try_send(&SECRET).unwrap();
        interface.shared.borrow_mut().stop(Instant::ZERO);
        assert!(!finds_secret(&mut interface), "stopped");

        interface.try_send(&SECRET).unwrap();
        interface.shared.borrow_mut().retire();
        interface.try_send(&SECRET).unwrap();
        assert!(!interface.frame.contains(&0xa5), "gone");
        assert_eq!(interface.shared.borrow().outbound.count(|fate| fate != Fate::Vacant), 0);
    }
}
