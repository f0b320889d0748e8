//! Under load a side answers handshakes with cookies, and the other side's next try has one.

use core::time::Duration;

use anyhow::{Context, Result, ensure};

use super::scene::{KERNEL_INNER, KERNEL_PORT, OUR_INNER, V4};
use super::{Case, Scene, Tunnel};
use crate::lan::Datagram;
use crate::peer::{Driver, Underlay};

pub(super) const CASES: &[Case] = &[
    Case::new(
        "cookie.kernel_takes_ours",
        "under load we answer the kernel's call with a cookie, and its next call carries it",
        kernel_takes_ours,
    )
    .not_with(
        &[Driver::Blocking, Driver::Async, Driver::EspIdf, Driver::C],
        "all but the engine leave it to the engine to say when it is under load",
    ),
    Case::new(
        "cookie.we_take_the_kernels",
        "flooded, the kernel answers our call with a cookie, and our next call carries it",
        we_take_the_kernels,
    ),
];

const INITIATION: u8 = 1;
const COOKIE_REPLY: u8 = 3;
const MAC2: core::ops::Range<usize> = 132..148;
/// The kernel calls itself loaded, for a second, when 512 handshake messages wait. Copies of
/// one will do, since they wait before anybody looks whether they are new.
const COPIES: u32 = 2000;
/// How often it is flooded at most, to be found loaded.
const FLOODS: u32 = 4;

fn kernel_takes_ours(scene: &mut Scene) -> Result<()> {
    scene.wire.record();
    scene.set_up(&Tunnel::called_by_kernel())?;
    // The kernel's second try comes after five seconds.
    let ping = scene.start(&format!("ping -c 1 -W 15 {}", OUR_INNER[V4]))?;
    scene.until("a session under load", Duration::from_secs(15), |scene| {
        scene.peer().declare_load()?;
        Ok(scene.peer().has_session())
    })?;
    scene.join(ping, Duration::from_secs(15))?;
    scene.until_kernel_says("Receiving cookie response")?;
    second_call_carries_a_cookie(scene, |datagram| datagram.from.port() == KERNEL_PORT)
}

fn we_take_the_kernels(scene: &mut Scene) -> Result<()> {
    scene.wire.record();
    let tunnel = Tunnel::fresh();
    scene.set_up(&tunnel)?;
    scene.ping(V4)?;
    let first = initiations(scene, is_ours).next().context("we did not call")?.clone();
    // A kernel that had worked all copies off before our call came was not loaded any more.
    for _ in 1..FLOODS {
        if call_a_flooded_kernel(scene, &tunnel, &first).is_ok() {
            return Ok(());
        }
    }
    call_a_flooded_kernel(scene, &tunnel, &first)
}

/// Asks for a new session while copies of an old call keep the kernel busy.
fn call_a_flooded_kernel(scene: &mut Scene, tunnel: &Tunnel, old: &Datagram) -> Result<()> {
    scene.set_up_ours(tunnel, crate::peer::FileClock::wall())?;
    scene.wire.record();
    for _ in 0..COPIES {
        scene.wire.send(old)?;
    }
    scene.peer().inner.ping(KERNEL_INNER[V4], 1, 56)?;
    scene.until("a session with a loaded kernel", Duration::from_secs(20), |scene| {
        Ok(scene.peer().has_session())
    })?;
    second_call_carries_a_cookie(scene, is_ours)
}

fn is_ours(datagram: &Datagram) -> bool {
    datagram.to.port() == KERNEL_PORT
}

fn initiations(
    scene: &Scene,
    sent_by: fn(&Datagram) -> bool,
) -> impl Iterator<Item = &Datagram> + '_ {
    let is_initiation = |datagram: &&Datagram| datagram.payload.first() == Some(&INITIATION);
    scene.wire.recorded().iter().filter(is_initiation).filter(move |datagram| sent_by(datagram))
}

fn cookie_replies(scene: &Scene) -> usize {
    let all = scene.wire.recorded().iter();
    all.filter(|datagram| datagram.payload.first() == Some(&COOKIE_REPLY)).count()
}

fn second_call_carries_a_cookie(scene: &Scene, sent_by: fn(&Datagram) -> bool) -> Result<()> {
    ensure!(cookie_replies(scene) > 0, "no cookie was sent");
    let with_cookie = initiations(scene, sent_by)
        .filter(|datagram| datagram.payload[MAC2].iter().any(|&byte| byte != 0))
        .count();
    ensure!(with_cookie > 0, "no call carried a cookie");
    Ok(())
}
