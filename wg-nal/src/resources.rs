//! The caller's memory for a tunnel.

use core::cell::{OnceCell, RefCell};
use core::mem::ManuallyDrop;

use wg_core::{Device, Storage};

use crate::frame::{AROUND, Frame, Kept, Pool};
use crate::shared::Shared;

/// The largest payload of UDP over IPv4.
const LARGEST_DATAGRAM: usize = 65_507;

/// The memory of one tunnel: the engine's, and the packets'.
///
/// - `PEERS` and `ROUTES` are the engine's: see [`Storage`].
/// - `MTU` is the largest inner packet. 1420 is right where the underlay carries 1500.
/// - `RX` frames hold what came in: one is where the underlay receives, the others wait for the
///   stack in the tunnel. At least 2.
/// - `TX` frames hold what goes out: one is where the stack in the tunnel writes, the others
///   wait to be sent, or for a session. At least 2.
///
/// About `(MTU + 48 + 40) * (RX + TX) + 1000` bytes beside the [`Storage`]; `cargo xtask size`
/// prints it. It fits a `static`:
///
/// ```
/// use static_cell::StaticCell;
/// use wg_nal::Resources;
///
/// static TUNNEL: StaticCell<Resources<1, 2>> = StaticCell::new(); // one peer, two allowed IPs
/// let resources = TUNNEL.init(Resources::new());
/// ```
pub struct Resources<
    'd,
    const PEERS: usize,
    const ROUTES: usize,
    const MTU: usize = 1420,
    const RX: usize = 4,
    const TX: usize = 4,
> {
    storage: Storage<PEERS, ROUTES>,
    inbound: [Frame<MTU>; RX],
    outbound: [Frame<MTU>; TX],
    inbound_kept: [Kept<'d>; RX],
    outbound_kept: [Kept<'d>; TX],
    /// Not dropped, so that a borrow for all of `'d` may end with a local variable. What is
    /// secret in it is in `storage`, or wiped when the runner is dropped.
    shared: ManuallyDrop<OnceCell<RefCell<Shared<'d>>>>,
}

/// A tunnel's memory, taken apart. The two frames are as long as each other.
pub(crate) struct Parts<'d> {
    pub(crate) shared: &'d RefCell<Shared<'d>>,
    /// Where the underlay receives.
    pub(crate) arriving: &'d mut [u8],
    /// Where the stack in the tunnel writes.
    pub(crate) leaving: &'d mut [u8],
    pub(crate) largest_mtu: usize,
}

impl<
    'd,
    const PEERS: usize,
    const ROUTES: usize,
    const MTU: usize,
    const RX: usize,
    const TX: usize,
> Resources<'d, PEERS, ROUTES, MTU, RX, TX>
{
    /// Blank memory.
    pub const fn new() -> Self {
        const {
            assert!(MTU >= 68, "IPv4 needs an MTU of 68, IPv6 of 1280");
            assert!(MTU <= LARGEST_DATAGRAM - AROUND, "the largest packet has to fit a datagram");
            assert!(RX >= 2, "one frame receives while another one is read");
            assert!(TX >= 2, "one frame is written while another one is sent");
        }
        Self {
            storage: Storage::new(),
            inbound: [const { Frame::BLANK }; RX],
            outbound: [const { Frame::BLANK }; TX],
            inbound_kept: [const { Kept::VACANT }; RX],
            outbound_kept: [const { Kept::VACANT }; TX],
            shared: ManuallyDrop::new(OnceCell::new()),
        }
    }

    /// Sets the memory up for a new tunnel with no key and no peers.
    pub(crate) fn parts(&'d mut self) -> Parts<'d> {
        let Self { storage, inbound, outbound, inbound_kept, outbound_kept, shared } = self;
        let mut inbound = inbound.iter_mut();
        let mut outbound = outbound.iter_mut();
        let arriving = inbound.next().map(Frame::bytes).unwrap_or_default();
        let leaving = outbound.next().map(Frame::bytes).unwrap_or_default();
        let inbound = Pool::new(inbound_kept, inbound);
        let outbound = Pool::new(outbound_kept, outbound);
        **shared = OnceCell::new();
        let blank = || RefCell::new(Shared::new(Device::new(storage), inbound, outbound));
        Parts { shared: shared.get_or_init(blank), arriving, leaving, largest_mtu: MTU }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_take_what_their_documentation_says() {
        let documented = (1420 + 48 + 40) * 8 + 1000;
        let size = size_of::<Resources<'_, 1, 2>>() - size_of::<Storage<1, 2>>();
        assert!(size.abs_diff(documented) < 200, "{size} and not {documented}");
    }

    #[test]
    fn the_same_memory_holds_one_tunnel_after_another() {
        fn use_it<'d>(resources: &'d mut Resources<'d, 1, 1, 100, 2, 2>) {
            let parts = resources.parts();
            assert_eq!(parts.arriving.len(), parts.leaving.len());
            assert!(parts.shared.borrow().outbound.has_vacancy());
        }
        for _ in 0..2 {
            let mut resources = Resources::new();
            use_it(&mut resources);
        }
    }
}
