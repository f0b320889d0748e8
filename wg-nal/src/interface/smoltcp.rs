//! The interface as a device of smoltcp.

use smoltcp::phy::{self, Device, DeviceCapabilities, Medium};
use smoltcp::time::Instant;

use super::{Interface, RxToken, TxToken, read_oldest, write};

impl phy::RxToken for RxToken<'_, '_> {
    fn consume<A, F: FnOnce(&[u8]) -> A>(self, f: F) -> A {
        read_oldest(self.shared, |packet| f(packet))
    }
}

impl phy::TxToken for TxToken<'_, '_> {
    fn consume<A, F: FnOnce(&mut [u8]) -> A>(self, len: usize, f: F) -> A {
        write(self.shared, self.frame, len, f)
    }
}

/// The stack's own time is not looked at: whoever drives the tunnel knows the time.
///
/// TCP of smoltcp 0.12 nearly stalls where datagrams are lost, whatever carries it: its timer of
/// retransmission is not restarted. smoltcp 0.13, which embassy-net has, restarts it, but doubles it
/// for each fast retransmission, up to a minute; smoltcp-nal has not taken it yet.
impl<'d> Device for Interface<'d> {
    type RxToken<'a>
        = RxToken<'a, 'd>
    where
        Self: 'a;
    type TxToken<'a>
        = TxToken<'a, 'd>
    where
        Self: 'a;

    fn receive(&mut self, _: Instant) -> Option<(RxToken<'_, 'd>, TxToken<'_, 'd>)> {
        let shared = self.shared;
        self.has_arrived()
            .then_some((RxToken { shared }, TxToken { shared, frame: &mut self.frame }))
    }

    fn transmit(&mut self, _: Instant) -> Option<TxToken<'_, 'd>> {
        let room = self.shared.borrow().has_room();
        room.then_some(TxToken { shared: self.shared, frame: &mut self.frame })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = self.mtu;
        capabilities
    }
}
