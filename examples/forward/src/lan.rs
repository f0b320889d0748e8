//! A LAN: a host with a stack, and the wire from it to the board.

use core::net::{Ipv4Addr, Ipv6Addr};

use embassy_net::{
    Config, Ipv4Cidr, Ipv6Cidr, Stack, StackResources, StaticConfigV4, StaticConfigV6,
};
use embassy_net_driver_channel::driver::{HardwareAddress, LinkState};
use embassy_net_driver_channel::{Device, Runner, State};

use crate::forwarding::LAN_MTU;

/// The wire's end at the board.
pub(crate) type Wire = Runner<'static, LAN_MTU>;
/// What drives the host's stack.
pub(crate) type StackRunner = embassy_net::Runner<'static, Device<'static, LAN_MTU>>;

/// The addresses of a LAN, the number `site` of many: its board has .1, its host has .2.
pub(crate) struct Lan(pub(crate) u8);

impl Lan {
    pub(crate) fn v4(&self, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(192, 168, self.0, host)
    }

    pub(crate) fn v6(&self, host: u8) -> Ipv6Addr {
        Ipv6Addr::new(0xfd00, 0, 0, self.0.into(), 0, 0, 0, host.into())
    }

    /// What the other board lets into its tunnel.
    pub(crate) fn networks(&self) -> [String; 2] {
        [format!("{}/24", self.v4(0)), format!("{}/64", self.v6(0))]
    }

    /// An ordinary host, that sends what is for others to the board.
    pub(crate) fn host(&self) -> (Stack<'static>, StackRunner, Wire) {
        let state = Box::leak(Box::new(State::<LAN_MTU, 16, 16>::new()));
        let (mut wire, device) = embassy_net_driver_channel::new(state, HardwareAddress::Ip);
        wire.set_link_state(LinkState::Up);
        let mut config = Config::ipv4_static(StaticConfigV4 {
            address: Ipv4Cidr::new(self.v4(2), 24),
            gateway: Some(self.v4(1)),
            dns_servers: Default::default(),
        });
        config.ipv6 = embassy_net::ConfigV6::Static(StaticConfigV6 {
            address: Ipv6Cidr::new(self.v6(2), 64),
            gateway: Some(self.v6(1)),
            dns_servers: Default::default(),
        });
        let memory = Box::leak(Box::new(StackResources::<16>::new()));
        let seed = u64::from(self.0); // of port numbers, which nobody here guesses
        let (stack, runner) = embassy_net::new(device, config, memory, seed);
        (stack, runner, wire)
    }
}
