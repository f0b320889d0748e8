//! Two stacks of embassy-net, joined by a cable of two drivers.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use embassy_net::driver::{HardwareAddress, LinkState};
use embassy_net::{Config, Ipv4Cidr, Ipv6Cidr, Stack, StackResources};
use embassy_net::{StaticConfigV4, StaticConfigV6};
use embassy_net_driver_channel::{Device, RxRunner, State, TxRunner, new};
use futures_lite::future::{block_on, or, zip};

pub(crate) const PORT: u16 = 51820;

pub(crate) fn v4(host: u8) -> SocketAddr {
    (Ipv4Addr::new(10, 0, 0, host), PORT).into()
}

pub(crate) fn v6(host: u16) -> SocketAddr {
    (Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, host), PORT).into()
}

pub(crate) fn config(host: u8) -> Config {
    let mut config = Config::ipv4_static(StaticConfigV4 {
        address: Ipv4Cidr::new(Ipv4Addr::new(10, 0, 0, host), 24),
        gateway: None,
        dns_servers: Default::default(),
    });
    config.ipv6 = embassy_net::ConfigV6::Static(StaticConfigV6 {
        address: Ipv6Cidr::new(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, host.into()), 64),
        gateway: None,
        dns_servers: Default::default(),
    });
    config
}

/// Runs a test that would wait for a lost datagram for ever, if one were lost.
pub(crate) fn in_time(test: impl Future<Output = ()>) {
    block_on(or(test, async {
        async_io::Timer::after(Duration::from_secs(20)).await;
        panic!("waited for a datagram in vain");
    }));
}

/// Runs `test` beside two stacks on a medium of `MTU` bytes, with its link up, or
/// down and nobody there to take what is sent.
pub(crate) fn over_two_stacks(
    mtu: usize,
    link: bool,
    test: impl AsyncFnOnce(Stack<'_>, Stack<'_>),
) {
    let no_address = [HardwareAddress::Ip; 2];
    match mtu {
        1478 => over_two_stacks_of::<1478>(no_address, link, test),
        _ => over_two_stacks_of::<1500>(no_address, link, test),
    }
}

/// The same where stacks ask for each other's link addresses.
pub(crate) fn over_two_ethernets(test: impl AsyncFnOnce(Stack<'_>, Stack<'_>)) {
    let addresses = [1, 2].map(|host| HardwareAddress::Ethernet([2, 0, 0, 0, 0, host]));
    over_two_stacks_of::<1514>(addresses, true, test);
}

fn over_two_stacks_of<const MTU: usize>(
    [address1, address2]: [HardwareAddress; 2],
    link: bool,
    test: impl AsyncFnOnce(Stack<'_>, Stack<'_>),
) {
    let (mut s1, mut s2) = (State::<MTU, 8, 8>::new(), State::<MTU, 8, 8>::new());
    let (wire1, device1): (_, Device<'_, MTU>) = new(&mut s1, address1);
    let (wire2, device2): (_, Device<'_, MTU>) = new(&mut s2, address2);
    let (mut r1, mut r2) = (StackResources::<4>::new(), StackResources::<4>::new());
    let (one, mut run1) = embassy_net::new(device1, config(1), &mut r1, 1);
    let (two, mut run2) = embassy_net::new(device2, config(2), &mut r2, 2);
    let (state1, rx1, tx1) = wire1.split();
    let (state2, rx2, tx2) = wire2.split();
    let state = if link { LinkState::Up } else { LinkState::Down };
    state1.set_link_state(state);
    state2.set_link_state(state);
    in_time(or(
        async {
            if link {
                zip(one.wait_link_up(), two.wait_link_up()).await;
            }
            test(one, two).await;
        },
        async {
            let cable = async {
                if link {
                    zip(carry(tx1, rx2), carry(tx2, rx1)).await;
                }
            };
            zip(cable, zip(run1.run(), run2.run())).await;
        },
    ));
}

pub(crate) async fn carry<const MTU: usize>(
    mut from: TxRunner<'_, MTU>,
    mut to: RxRunner<'_, MTU>,
) {
    loop {
        let packet = from.tx_buf().await;
        let len = packet.len();
        to.rx_buf().await[..len].copy_from_slice(packet);
        to.rx_done(len);
        from.tx_done();
    }
}
