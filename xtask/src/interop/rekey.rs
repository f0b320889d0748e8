//! Sessions give way to new ones by age, and no packet notices.

use core::time::Duration;
use std::time::Instant;

use anyhow::{Result, ensure};

use super::scene::{KERNEL_INNER, KERNEL_PORT, OUR_INNER, V4, V6};
use super::{Case, Scene, Tunnel};

pub(super) const CASES: &[Case] = &[
    Case::new(
        "rekey.we_initiate",
        "over six minutes of pings both ways, we rekey by age and lose none",
        we_initiate,
    )
    .slow(),
    Case::new(
        "rekey.kernel_initiates",
        "over six minutes of pings both ways, the kernel rekeys by age and we lose none",
        kernel_initiates,
    )
    .slow(),
];

/// Three rekeys, at 120, 240 and 360 s, and some time after.
const TIME: Duration = Duration::from_secs(375);
const REKEYS: usize = 3;
const PAUSE: Duration = Duration::from_millis(50);
const INITIATION: u8 = 1;

fn we_initiate(scene: &mut Scene) -> Result<()> {
    scene.wire.record();
    scene.set_up(&Tunnel::fresh())?;
    scene.ping(V4)?;
    ping_both_ways(scene)?;
    rekeyed(scene, |port| port != KERNEL_PORT)
}

fn kernel_initiates(scene: &mut Scene) -> Result<()> {
    scene.wire.record();
    scene.set_up(&Tunnel::called_by_kernel())?;
    scene.kernel_pings(V4)?;
    ping_both_ways(scene)?;
    rekeyed(scene, |port| port == KERNEL_PORT)
}

/// Pings in both directions all the time; every echo must come back.
fn ping_both_ways(scene: &mut Scene) -> Result<()> {
    let count = TIME.as_millis() / PAUSE.as_millis();
    let ours = OUR_INNER[V6];
    let kernels = scene.start(&format!(
        "ping -q -c {count} -i {} {ours} | tee /run/pings | grep ' 0% packet loss' || cat /run/pings",
        PAUSE.as_secs_f64()
    ))?;
    let start = Instant::now();
    let (mut sent, mut returned) = (0_u32, 0_u32);
    scene
        .until("six minutes of pings", TIME + Duration::from_secs(5), |scene| {
            let inner = &mut scene.peer().inner;
            let due = start + PAUSE * sent;
            if Instant::now() >= due && start.elapsed() < TIME {
                inner.ping(KERNEL_INNER[V4], u16::try_from(sent % 65536)?, 56)?;
                sent += 1;
            }
            while inner.next_echo().is_some() {
                returned += 1;
            }
            Ok(start.elapsed() >= TIME && returned >= sent)
        })
        .map_err(|error| error.context(format!("{returned} of {sent} echoes came back")))?;
    ensure!(returned == sent, "{returned} echoes for {sent} pings");
    // An emulated kernel's timer runs late: its pings last longer than ours.
    let said = scene.join(kernels, TIME)?;
    ensure!(said.contains(" 0% packet loss"), "the kernel lost pings:\n{said}");
    Ok(())
}

/// Each rekey was one initiation, from the side that called first.
fn rekeyed(scene: &mut Scene, from_caller: fn(u16) -> bool) -> Result<()> {
    let initiations: Vec<_> = scene
        .wire
        .recorded()
        .iter()
        .filter(|datagram| datagram.payload.first() == Some(&INITIATION))
        .collect();
    let strays = initiations.iter().filter(|datagram| !from_caller(datagram.from.port())).count();
    ensure!(strays == 0, "{strays} initiations from the side that was called");
    let rekeys = initiations.len() - 1;
    ensure!(rekeys >= REKEYS, "only {rekeys} rekeys");
    Ok(())
}
