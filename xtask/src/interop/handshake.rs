//! Sessions come up, whoever calls, over either family.

use core::time::Duration;
use std::time::Instant;

use anyhow::{Result, ensure};
use wg_core::Refusal;

use super::scene::{KERNEL_INNER, KERNEL_PORT, OUR_INNER, V4, V6};
use super::{Case, Scene, Tunnel};
use crate::lan::Faults;

pub(super) const CASES: &[Case] = &[
    Case::new("handshake.we_initiate", "the kernel answers our initiation", we_initiate),
    Case::new("handshake.kernel_initiates", "we answer the kernel's initiation", kernel_initiates),
    Case::new(
        "handshake.we_initiate_with_psk",
        "the kernel answers, with a pre-shared key on both sides",
        we_initiate_with_psk,
    ),
    Case::new(
        "handshake.kernel_initiates_with_psk",
        "we answer, with a pre-shared key on both sides",
        kernel_initiates_with_psk,
    ),
    Case::new(
        "handshake.we_initiate_over_ipv6",
        "our initiation and data travel in IPv6",
        we_initiate_over_ipv6,
    ),
    Case::new(
        "handshake.kernel_initiates_over_ipv6",
        "the kernel's initiation and data travel in IPv6",
        kernel_initiates_over_ipv6,
    ),
    Case::new(
        "handshake.both_initiate",
        "initiations that cross on the wire lead to one working tunnel",
        both_initiate,
    ),
    Case::new(
        "handshake.unanswered_while_the_host_sends",
        "the second call without an answer is said to be one, though a packet goes out each second",
        unanswered_while_the_host_sends,
    ),
];

const RESPONSE: u8 = 2;

fn we_initiate(scene: &mut Scene) -> Result<()> {
    calls(scene, &Tunnel::fresh())
}

fn we_initiate_with_psk(scene: &mut Scene) -> Result<()> {
    calls(scene, &Tunnel::fresh().with_preshared_key())
}

fn we_initiate_over_ipv6(scene: &mut Scene) -> Result<()> {
    calls(scene, &Tunnel { outside: V6, ..Tunnel::fresh() })
}

fn kernel_initiates(scene: &mut Scene) -> Result<()> {
    is_called(scene, &Tunnel::called_by_kernel())
}

fn kernel_initiates_with_psk(scene: &mut Scene) -> Result<()> {
    is_called(scene, &Tunnel::called_by_kernel().with_preshared_key())
}

fn kernel_initiates_over_ipv6(scene: &mut Scene) -> Result<()> {
    is_called(scene, &Tunnel { outside: V6, ..Tunnel::called_by_kernel() })
}

fn both_initiate(scene: &mut Scene) -> Result<()> {
    scene.wire.record();
    scene.set_up(&Tunnel { kernel_knows_our_endpoint: true, ..Tunnel::fresh() })?;
    // So long that each side has called before it hears the other.
    scene.wire.set_faults(Faults { delay: Duration::from_millis(200), ..Faults::default() });
    // The kernel's second try may be needed, five seconds later.
    let kernels = scene.start(&format!("ping -c 1 -W 15 {}", OUR_INNER[V4]))?;
    scene.ping(V4)?;
    scene.join(kernels, Duration::from_secs(15))?;
    let callers = [true, false].map(|ours| {
        let mut initiations = scene.wire.recorded().iter().filter(|datagram| {
            datagram.payload.first() == Some(&1) && (datagram.to.port() == KERNEL_PORT) == ours
        });
        initiations.next().is_some()
    });
    ensure!(callers == [true, true], "the calls did not cross");
    scene.ping(V4)?;
    scene.kernel_pings(V4)
}

fn unanswered_while_the_host_sends(scene: &mut Scene) -> Result<()> {
    scene.set_up(&Tunnel::fresh())?;
    scene.wire.set_lost_type(Some(RESPONSE));
    let start = Instant::now();
    while scene.peer().obstacle() != Some(Refusal::Unanswered) {
        let waited = start.elapsed();
        ensure!(waited < Duration::from_secs(8), "nothing is said after {waited:?}");
        scene.peer().inner.ping(KERNEL_INNER[V4], 1, 56)?;
        scene.pass(Duration::from_secs(1))?;
    }
    scene.wire.set_lost_type(None);
    scene.ping(V4)?;
    ensure!(scene.peer().obstacle().is_none(), "it is said with a session, too");
    Ok(())
}

fn calls(scene: &mut Scene, tunnel: &Tunnel) -> Result<()> {
    scene.set_up(tunnel)?;
    scene.ping(V4)?;
    let log = scene.kernel_log()?;
    ensure!(log.contains("Receiving handshake initiation from peer"), "we did not call:\n{log}");
    ensure!(!log.contains("Sending handshake initiation"), "the kernel called:\n{log}");
    ensure!(scene.kernel_status()?.latest_handshake > 0, "the kernel has no session");
    Ok(())
}

fn is_called(scene: &mut Scene, tunnel: &Tunnel) -> Result<()> {
    scene.set_up(tunnel)?;
    scene.kernel_pings(V4)?;
    let log = scene.kernel_log()?;
    ensure!(log.contains("Receiving handshake response from peer"), "it did not call:\n{log}");
    ensure!(!log.contains("Receiving handshake initiation"), "we called:\n{log}");
    // The endpoint was learnt: nobody told us.
    ensure!(scene.peer().endpoint() == Some(tunnel.kernel_endpoint()), "the endpoint is wrong");
    Ok(())
}
