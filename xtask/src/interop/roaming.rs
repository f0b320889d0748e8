//! Either side moves, and the session goes on.

use core::net::SocketAddr;

use anyhow::{Result, ensure};

use super::scene::{
    KERNEL_ELSEWHERE, KERNEL_OUTER, KERNEL_PORT, OUR_OUTER, OUR_PORT, OURS_ELSEWHERE, V4, V6,
};
use super::{Case, Scene, Tunnel};
use crate::peer::Driver;

pub(super) const CASES: &[Case] = &[
    Case::new(
        "roaming.our_address_and_port_change",
        "the kernel follows us to other addresses, ports and families, without a handshake",
        our_address_and_port_change,
    )
    .not_with(&[Driver::Async], ONE_SOCKET),
    Case::new(
        "roaming.kernel_endpoint_changes",
        "we follow the kernel to other addresses, ports and families, without a handshake",
        kernel_endpoint_changes,
    )
    .not_with(&[Driver::Async], ONE_SOCKET),
];

/// An address that changes under it is a test of wg-nal's own, in virtual time.
const ONE_SOCKET: &str = "a socket of embedded-nal-async has one port and one family";

fn our_address_and_port_change(scene: &mut Scene) -> Result<()> {
    scene.set_up(&Tunnel::fresh())?;
    scene.ping(V4)?;
    let before = scene.kernel_status()?;
    for (address, port) in [
        (OURS_ELSEWHERE[V4], OUR_PORT),
        (OURS_ELSEWHERE[V4], 1),
        (OUR_OUTER[V6], 65535),
        (OUR_OUTER[V4], OUR_PORT),
    ] {
        let moved = SocketAddr::new(address, port);
        scene.peer().local = moved;
        // The kernel can be reached in both families; a host talks in that of its address.
        let family = if moved.is_ipv4() { V4 } else { V6 };
        scene.peer().set_endpoint(SocketAddr::new(KERNEL_OUTER[family], KERNEL_PORT));
        scene.ping(V4)?;
        scene.kernel_pings(V6)?;
        let status = scene.kernel_status()?;
        ensure!(status.endpoint == Some(moved), "we are at {moved}, not at {:?}", status.endpoint);
        ensure!(status.latest_handshake == before.latest_handshake, "another handshake");
    }
    handshakes_so_far(scene, 1)
}

fn kernel_endpoint_changes(scene: &mut Scene) -> Result<()> {
    scene.set_up(&Tunnel::fresh())?;
    scene.ping(V4)?;
    let kernel = |family: usize, port| SocketAddr::new(KERNEL_ELSEWHERE[family], port);
    let [other_v4, _] = KERNEL_ELSEWHERE;
    scene.run(&format!(
        "ip addr del {}/24 dev eth0; ip addr add {other_v4}/24 dev eth0; wg set wg0 listen-port 7",
        KERNEL_OUTER[V4]
    ))?;
    // Until it speaks we cannot know where it is.
    scene.kernel_pings(V4)?;
    ensure!(scene.peer().endpoint() == Some(kernel(V4, 7)), "we did not follow over IPv4");
    scene.ping(V4)?;
    // Over IPv6 it answers there only once it knows an address of ours there.
    let [_, other_v6] = KERNEL_ELSEWHERE;
    let peer = scene.run("wg show wg0 peers")?;
    let ours_v6 = SocketAddr::new(OUR_OUTER[V6], OUR_PORT);
    scene.run(&format!(
        "ip addr del {}/64 dev eth0; ip addr add {other_v6}/64 dev eth0; wg set wg0 listen-port 8
         wg set wg0 peer {} endpoint {ours_v6}",
        KERNEL_OUTER[V6],
        peer.trim()
    ))?;
    scene.peer().local = ours_v6;
    scene.kernel_pings(V4)?;
    ensure!(scene.peer().endpoint() == Some(kernel(V6, 8)), "we did not follow over IPv6");
    scene.ping(V6)?;
    handshakes_so_far(scene, 1)
}

fn handshakes_so_far(scene: &mut Scene, expected: usize) -> Result<()> {
    let log = scene.kernel_log()?;
    let count = log.matches("handshake response").count();
    ensure!(count == expected, "{count} handshakes, not {expected}:\n{log}");
    Ok(())
}
