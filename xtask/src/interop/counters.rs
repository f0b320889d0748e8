//! Our numbers and the kernel's are the same numbers.

use core::time::Duration;
use std::time::UNIX_EPOCH;

use anyhow::{Context, Result, ensure};

use super::scene::{V4, V6};
use super::{Case, Scene, Tunnel};

pub(super) const CASES: &[Case] = &[
    Case::new(
        "counters.bytes_agree_when_we_call",
        "bytes each way and the handshake's time agree with `wg show`",
        bytes_agree_when_we_call,
    ),
    Case::new(
        "counters.bytes_agree_when_the_kernel_calls",
        "the same, with the roles exchanged",
        bytes_agree_when_the_kernel_calls,
    ),
];

fn bytes_agree_when_we_call(scene: &mut Scene) -> Result<()> {
    scene.set_up(&Tunnel::fresh())?;
    scene.ping(V4)?;
    traffic_agrees(scene)
}

fn bytes_agree_when_the_kernel_calls(scene: &mut Scene) -> Result<()> {
    scene.set_up(&Tunnel::called_by_kernel())?;
    scene.kernel_pings(V4)?;
    traffic_agrees(scene)
}

/// Whole messages count, headers, padding, tags, keepalives and handshakes included.
fn traffic_agrees(scene: &mut Scene) -> Result<()> {
    for family in [V4, V6] {
        for _ in 0..5 {
            scene.ping(family)?;
        }
        scene.run(&format!("ping -c 3 -i 0.1 -s 777 {}", super::scene::OUR_INNER[family]))?;
    }
    // The last answers arrive, and no keepalive is due yet.
    scene.pass(Duration::from_millis(500))?;
    let kernel = scene.kernel_status()?;
    let (received, sent) = (scene.peer().received_bytes(), scene.peer().sent_bytes());
    ensure!(received == kernel.sent_bytes, "{received} in, the kernel's {} out", kernel.sent_bytes);
    ensure!(sent == kernel.received_bytes, "{sent} out, the kernel's {} in", kernel.received_bytes);
    ensure!(sent > 148, "nothing was sent");
    let ours = scene.peer().last_handshake().context("we know of no handshake")?;
    let ours = ours.duration_since(UNIX_EPOCH)?.as_secs();
    let difference = ours.abs_diff(kernel.latest_handshake);
    ensure!(difference <= 2, "the handshake's times differ by {difference} s");
    Ok(())
}
