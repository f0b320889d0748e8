//! Empty packets keep a path open, and nobody answers them.

use core::time::Duration;

use anyhow::{Result, ensure};

use super::scene::V4;
use super::{Case, Scene, Tunnel};

pub(super) const CASES: &[Case] = &[
    Case::new(
        "keepalive.ours_reach_the_kernel",
        "a persistent keepalive of 1 s adds 32 bytes a second to the kernel's count",
        ours_reach_the_kernel,
    ),
    Case::new(
        "keepalive.the_kernels_are_not_answered",
        "the kernel's persistent keepalives come in, and nothing goes out for them",
        the_kernels_are_not_answered,
    ),
];

/// A data message without data.
const KEEPALIVE: u64 = 32;

fn ours_reach_the_kernel(scene: &mut Scene) -> Result<()> {
    scene.set_up(&Tunnel::fresh())?;
    scene.ping(V4)?;
    let before = scene.kernel_status()?;
    scene.peer().set_persistent_keepalive(1);
    // One at once, and one at each second: half a second in between for a busy machine.
    scene.pass(Duration::from_millis(3500))?;
    let after = scene.kernel_status()?;
    let received = after.received_bytes - before.received_bytes;
    ensure!(received.is_multiple_of(KEEPALIVE), "the kernel received {received} bytes");
    let count = received / KEEPALIVE;
    ensure!((3..=5).contains(&count), "the kernel received {count} keepalives in 3.5 s");
    ensure!(after.sent_bytes == before.sent_bytes, "the kernel answered a keepalive");
    Ok(())
}

fn the_kernels_are_not_answered(scene: &mut Scene) -> Result<()> {
    scene.set_up(&Tunnel::fresh())?;
    scene.ping(V4)?;
    let (received, sent) = (scene.peer().received_bytes(), scene.peer().sent_bytes());
    scene.run("wg set wg0 peer $(wg show wg0 peers) persistent-keepalive 1")?;
    scene.pass(Duration::from_millis(3500))?;
    let received = scene.peer().received_bytes() - received;
    ensure!(received.is_multiple_of(KEEPALIVE), "we received {received} bytes");
    ensure!(received / KEEPALIVE >= 3, "we received {} keepalives", received / KEEPALIVE);
    let answered = scene.peer().sent_bytes() - sent;
    ensure!(answered == 0, "we sent {answered} bytes for keepalives");
    Ok(())
}
