//! The virtual Ethernet between this process and the emulators, and the hosts on our end of it.

mod cable;
mod inner;
mod neighbours;
mod pcap;
mod switch;
mod wire;

pub(crate) use cable::Cable;
pub(crate) use inner::Inner;
pub(crate) use pcap::Pcap;
pub(crate) use switch::{Carried, Port, Switch};
pub(crate) use wire::{Datagram, Faults, Wire, emit, parse};
