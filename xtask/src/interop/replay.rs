//! A recorded packet, sent again, changes nothing.

use core::net::SocketAddr;
use core::time::Duration;

use anyhow::{Context, Result, ensure};
use wg_core::Refusal;

use super::scene::{KERNEL_ELSEWHERE, KERNEL_INNER, KernelStatus, OURS_ELSEWHERE, V4};
use super::{Case, Scene, Tunnel};
use crate::lan::Datagram;
use crate::peer::Underlay;

pub(super) const CASES: &[Case] = &[
    Case::new(
        "replay.our_data_to_the_kernel",
        "our data packet again, also from another address, changes nothing at the kernel",
        our_data_to_the_kernel,
    ),
    Case::new(
        "replay.our_initiation_to_the_kernel",
        "our initiation again, also from another address, changes nothing at the kernel",
        our_initiation_to_the_kernel,
    ),
    Case::new(
        "replay.the_kernels_data_to_us",
        "the kernel's data packet again, also from another address, changes nothing here",
        the_kernels_data_to_us,
    ),
    Case::new(
        "replay.the_kernels_initiation_to_us",
        "the kernel's initiation again, also from another address, changes nothing here",
        the_kernels_initiation_to_us,
    ),
    Case::new(
        "replay.a_response_held_back",
        "the kernel's response to an older call of ours changes nothing once the kernel has called",
        a_response_held_back,
    ),
];

const RESPONSE: u8 = 2;
const INITIATION: u8 = 1;
const DATA: u8 = 4;

fn our_data_to_the_kernel(scene: &mut Scene) -> Result<()> {
    let recorded = record(scene, &Tunnel::fresh(), DATA, is_ours)?;
    let before = quiet_kernel_status(scene)?;
    send_again(scene, recorded)?;
    scene.until_kernel_says("Packet has invalid nonce")?;
    ensure!(scene.kernel_status()? == before, "the kernel's status moved");
    scene.kernel_pings(V4)
}

fn our_initiation_to_the_kernel(scene: &mut Scene) -> Result<()> {
    let recorded = record(scene, &Tunnel::fresh(), INITIATION, is_ours)?;
    let before = quiet_kernel_status(scene)?;
    let heard = scene.wire.recorded().len();
    send_again(scene, recorded)?;
    scene.until_kernel_says("Invalid handshake initiation from")?;
    ensure!(scene.kernel_status()? == before, "the kernel's status moved");
    // Two were sent, and no response came to either.
    ensure!(scene.wire.recorded().len() == heard + 2, "the kernel answered a replay");
    scene.kernel_pings(V4)
}

fn the_kernels_data_to_us(scene: &mut Scene) -> Result<()> {
    let recorded = record(scene, &Tunnel::called_by_kernel(), DATA, is_kernels)?;
    hear_again(scene, &recorded, Refusal::Replayed)
}

fn the_kernels_initiation_to_us(scene: &mut Scene) -> Result<()> {
    let recorded = record(scene, &Tunnel::called_by_kernel(), INITIATION, is_kernels)?;
    hear_again(scene, &recorded, Refusal::StaleTimestamp)
}

fn a_response_held_back(scene: &mut Scene) -> Result<()> {
    scene.wire.record();
    let tunnel = Tunnel { kernel_knows_our_endpoint: true, ..Tunnel::fresh() };
    scene.set_up(&tunnel)?;
    scene.wire.set_lost_type(Some(RESPONSE));
    scene.peer().inner.ping(KERNEL_INNER[V4], 1, 56)?;
    let mut held = None;
    scene.until("the kernel's response", Duration::from_secs(5), |scene| {
        let response =
            |sent: &&Datagram| is_kernels(sent) && sent.payload.first() == Some(&RESPONSE);
        held = scene.wire.recorded().iter().find(response).cloned();
        Ok(held.is_some())
    })?;
    let held = held.context("a response")?;
    // The kernel reboots, so that no limit keeps it from calling at once.
    scene.set_up_kernel(&tunnel)?;
    scene.wire.set_lost_type(None);
    scene.kernel_pings(V4)?;
    hear_again(scene, &held, Refusal::UnknownIndex)
}

/// The last datagram of this type and direction while both sides ping.
fn record(
    scene: &mut Scene,
    tunnel: &Tunnel,
    message_type: u8,
    sent_by: fn(&Datagram) -> bool,
) -> Result<Datagram> {
    scene.wire.record();
    scene.set_up(tunnel)?;
    if tunnel.we_know_the_kernels {
        scene.ping(V4)?;
    }
    scene.kernel_pings(V4)?;
    let matching =
        |datagram: &&Datagram| sent_by(datagram) && datagram.payload.first() == Some(&message_type);
    let recorded = scene.wire.recorded().iter().rfind(matching);
    recorded.cloned().context("nothing of the kind was sent")
}

fn is_ours(datagram: &Datagram) -> bool {
    datagram.to.port() == super::scene::KERNEL_PORT
}

fn is_kernels(datagram: &Datagram) -> bool {
    datagram.from.port() == super::scene::KERNEL_PORT
}

/// The kernel's status once it has nothing more to say for some seconds.
fn quiet_kernel_status(scene: &mut Scene) -> Result<KernelStatus> {
    scene.pass(Duration::from_millis(300))?;
    scene.kernel_status()
}

/// To the kernel, from where it came and from elsewhere.
fn send_again(scene: &mut Scene, recorded: Datagram) -> Result<()> {
    let elsewhere = SocketAddr::new(OURS_ELSEWHERE[V4], 9);
    scene.wire.send(&recorded)?;
    scene.wire.send(&Datagram { from: elsewhere, ..recorded })?;
    scene.pass(Duration::from_millis(200))
}

/// To us, from where it came and from elsewhere: refused, and nothing moves.
fn hear_again(scene: &mut Scene, recorded: &Datagram, reason: Refusal) -> Result<()> {
    // Longer than the time within which any second initiation is a flood.
    scene.pass(Duration::from_millis(300))?;
    let elsewhere = SocketAddr::new(KERNEL_ELSEWHERE[V4], 9);
    for from in [recorded.from, elsewhere] {
        let before = scene.peer().status();
        let heard = scene.wire.recorded().len();
        let refused = scene.peer().refused(reason);
        scene.wire.hear(&Datagram { from, ..recorded.clone() });
        scene.pass(Duration::from_millis(100))?;
        let refused = scene.peer().refused(reason) - refused;
        ensure!(refused == 1, "from {from}: refused {refused} times, {}", scene.peer().refusals());
        let after = scene.peer().status();
        ensure!(after == before, "our status moved from {before:?} to {after:?}");
        ensure!(scene.wire.recorded().len() == heard, "we answered a replay");
    }
    scene.ping(V4)
}
