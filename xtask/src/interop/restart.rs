//! Either side forgets its sessions, and the tunnel comes back.

use core::time::Duration;
use std::time::Instant;

use anyhow::{Result, ensure};
use wg_core::Refusal;

use super::scene::V4;
use super::{Case, Scene, Tunnel};
use crate::peer::FileClock;

pub(super) const CASES: &[Case] = &[
    Case::new(
        "restart.kernel_restarts_and_calls",
        "a kernel without its sessions calls, and is answered at once",
        kernel_restarts_and_calls,
    ),
    Case::new(
        "restart.kernel_restarts_and_is_silent",
        "we notice within 15.4 s of unanswered data, and call",
        kernel_restarts_and_is_silent,
    ),
    Case::new(
        "restart.we_restart_with_a_later_clock",
        "the kernel answers our first initiation",
        we_restart_with_a_later_clock,
    ),
    Case::new(
        "restart.we_restart_with_an_earlier_clock",
        "the kernel stays silent, and our status says so",
        we_restart_with_an_earlier_clock,
    ),
    Case::new(
        "restart.we_restart_with_a_kept_ceiling",
        "an earlier clock with a file that keeps the last stamp connects at once",
        we_restart_with_a_kept_ceiling,
    ),
];

/// A board's clock after a reboot without its battery.
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

fn kernel_restarts_and_calls(scene: &mut Scene) -> Result<()> {
    let tunnel = Tunnel { kernel_knows_our_endpoint: true, ..Tunnel::fresh() };
    scene.set_up(&tunnel)?;
    scene.ping(V4)?;
    // A call within 20 ms of an accepted one is a flood.
    scene.pass(Duration::from_millis(100))?;
    scene.set_up_kernel(&tunnel)?;
    scene.kernel_pings(V4)?;
    scene.ping(V4)
}

fn kernel_restarts_and_is_silent(scene: &mut Scene) -> Result<()> {
    let tunnel = Tunnel::fresh();
    scene.set_up(&tunnel)?;
    scene.ping(V4)?;
    scene.set_up_kernel(&tunnel)?;
    let start = Instant::now();
    let mut next_ping = start;
    let mut sequence = 0;
    // Steadily, as an application would: this must not push the timer away.
    scene.until("an echo from the new kernel", Duration::from_secs(25), |scene| {
        let inner = &mut scene.peer().inner;
        if Instant::now() >= next_ping {
            next_ping += Duration::from_millis(500);
            sequence += 1;
            inner.ping(super::scene::KERNEL_INNER[V4], sequence, 56)?;
        }
        Ok(inner.next_echo().is_some())
    })?;
    let noticed = start.elapsed();
    // 10 + 5 s and up to a third of a second of jitter after the first unanswered packet.
    ensure!(noticed > Duration::from_millis(14_900), "called after only {noticed:?}");
    ensure!(noticed < Duration::from_millis(17_000), "called only after {noticed:?}");
    Ok(())
}

fn we_restart_with_a_later_clock(scene: &mut Scene) -> Result<()> {
    let tunnel = Tunnel::fresh();
    scene.set_up(&tunnel)?;
    scene.ping(V4)?;
    scene.pass(Duration::from_millis(100))?;
    scene.set_up_ours(&tunnel, FileClock::wall())?;
    scene.ping(V4)
}

fn we_restart_with_an_earlier_clock(scene: &mut Scene) -> Result<()> {
    let tunnel = Tunnel::fresh();
    scene.set_up(&tunnel)?;
    scene.ping(V4)?;
    scene.pass(Duration::from_millis(100))?;
    scene.set_up_ours(&tunnel, FileClock::behind(YEAR))?;
    ensure!(scene.ping(V4).is_err(), "the kernel answered a stamp from the past");
    let why = scene.peer().obstacle();
    ensure!(why == Some(Refusal::Unanswered), "our status says {why:?}");
    scene.until_kernel_says("Invalid handshake initiation from")
}

fn we_restart_with_a_kept_ceiling(scene: &mut Scene) -> Result<()> {
    let tunnel = Tunnel::fresh();
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("stamp");
    scene.set_up_kernel(&tunnel)?;
    scene.set_up_ours(&tunnel, FileClock::wall().kept_in(&file)?)?;
    scene.ping(V4)?;
    scene.pass(Duration::from_millis(100))?;
    scene.set_up_ours(&tunnel, FileClock::behind(YEAR).kept_in(&file)?)?;
    scene.ping(V4)
}
