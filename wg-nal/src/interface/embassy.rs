//! The interface as a driver of embassy-net.

use core::task::Context;

use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState};

use super::{Interface, RxToken, TxToken, read_oldest, write};

impl embassy_net_driver::RxToken for RxToken<'_, '_> {
    fn consume<A, F: FnOnce(&mut [u8]) -> A>(self, f: F) -> A {
        read_oldest(self.shared, f)
    }
}

impl embassy_net_driver::TxToken for TxToken<'_, '_> {
    fn consume<A, F: FnOnce(&mut [u8]) -> A>(self, len: usize, f: F) -> A {
        write(self.shared, self.frame, len, f)
    }
}

/// embassy-net's feature `slaac` is to be left off: it asks every stack for a link address, which
/// none has in a tunnel, and by its source (0.9.1) panics.
impl<'d> Driver for Interface<'d> {
    type RxToken<'a>
        = RxToken<'a, 'd>
    where
        Self: 'a;
    type TxToken<'a>
        = TxToken<'a, 'd>
    where
        Self: 'a;

    fn receive(&mut self, cx: &mut Context<'_>) -> Option<(RxToken<'_, 'd>, TxToken<'_, 'd>)> {
        let shared = self.shared;
        self.poll_arrived(cx)
            .then_some((RxToken { shared }, TxToken { shared, frame: &mut self.frame }))
    }

    fn transmit(&mut self, cx: &mut Context<'_>) -> Option<TxToken<'_, 'd>> {
        self.poll_room(cx).then_some(TxToken { shared: self.shared, frame: &mut self.frame })
    }

    fn link_state(&mut self, cx: &mut Context<'_>) -> LinkState {
        let mut shared = self.shared.borrow_mut();
        shared.waiting.link.register(cx);
        if shared.link_is_up() { LinkState::Up } else { LinkState::Down }
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = self.mtu;
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ip
    }
}
