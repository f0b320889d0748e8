//! The board between its LAN and the tunnel. It has no stack of its own.

use embassy_futures::select::{Either, select};
use embassy_net_driver_channel::Runner;
use wg_nal::{Forward, Interface, LONGEST_ICMP, Router};

/// The packets of a LAN are those of Ethernet, and so are the longest ones that come.
pub(crate) const LAN_MTU: usize = 1500;

/// Carries packets both ways, until it is dropped.
///
/// What finds no room is lost, as in every router: TCP slows down by that. Neither direction
/// waits for the other.
pub(crate) async fn forward(
    router: Router,
    mut tunnel: Interface<'static>,
    lan: Runner<'static, LAN_MTU>,
) {
    let (_, mut to_lan, mut from_lan) = lan.split();
    let mut answer = [0; LONGEST_ICMP];
    let mut packet = [0; LAN_MTU];
    loop {
        let arrived = tunnel.receive(|arrived| {
            // The tunnel's packets are no longer than the LAN's.
            packet[..arrived.len()].copy_from_slice(arrived);
            arrived.len()
        });
        match select(from_lan.tx_buf(), arrived).await {
            Either::First(packet) => {
                match router.forward(packet, router.tunnel_mtu, &mut answer) {
                    Forward::Pass => drop(tunnel.try_send(packet)),
                    Forward::Answer(answer) => put(&mut to_lan, answer),
                    Forward::Drop => {}
                }
                from_lan.tx_done();
            }
            Either::Second(len) => {
                let packet = &mut packet[..len];
                match router.forward(packet, LAN_MTU as u16, &mut answer) {
                    Forward::Pass => put(&mut to_lan, packet),
                    Forward::Answer(answer) => drop(tunnel.try_send(answer)),
                    Forward::Drop => {}
                }
            }
        }
    }
}

fn put(lan: &mut embassy_net_driver_channel::RxRunner<'_, LAN_MTU>, packet: &[u8]) {
    if let Some(place) = lan.try_rx_buf() {
        place[..packet.len()].copy_from_slice(packet);
        lan.rx_done(packet.len());
    }
}
