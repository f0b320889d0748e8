//! What the boards are held to, each on a tunnel of its own to the kernel.

mod data;
mod load;

use core::net::SocketAddr;
use core::time::Duration;
use std::time::Instant;

use anyhow::{Result, bail, ensure};

use super::world::Status;
use super::{Firmware, Language, World};
use crate::interop::{OUR_INNER, OUR_PORT, OURS_ELSEWHERE, Tunnel, V4, V6};

/// A behaviour of a board. What a run measured is returned to be shown.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) proves: &'static str,
    pub(super) run: fn(&mut World, &Firmware, Size) -> Result<String>,
    /// Mostly waits, for minutes: beside the others, with a board and a kernel of its own.
    pub(super) beside: bool,
}

/// How much of a case is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    Quick,
    Whole,
}

/// The cases in which firmware in C differs from firmware in Rust, and which are short.
const QUICK_IN_C: &[&str] = &[
    "handshake.board_initiates",
    "handshake.kernel_initiates",
    "restart.board_reboots",
    "link.pulled",
];

impl Case {
    /// Whether a quick run has the case with firmware in this language.
    pub(super) fn is_quick(&self, language: Language) -> bool {
        language == Language::Rust || QUICK_IN_C.contains(&self.name)
    }
}

impl Size {
    fn of<T>(self, quick: T, whole: T) -> T {
        match self {
            Self::Quick => quick,
            Self::Whole => whole,
        }
    }
}

const fn case(
    name: &'static str,
    proves: &'static str,
    run: fn(&mut World, &Firmware, Size) -> Result<String>,
) -> Case {
    Case { name, proves, run, beside: false }
}

pub(super) const CASES: &[Case] = &[
    Case {
        beside: true,
        ..case("rekey.by_age", "a session is renewed after two minutes, in traffic", rekey)
    },
    case("handshake.board_initiates", "the kernel answers the board's call", board_initiates),
    case("handshake.kernel_initiates", "the board answers the kernel's call", kernel_initiates),
    case("data.good_link", "10,000 packets each way, none lost in the board", data::good_link),
    case("data.bad_link", "the same, with some lost, doubled or overtaken", data::bad_link),
    case("restart.board_reboots", "timestamps rise over power cuts without a clock", board_reboots),
    case(
        "restart.kernel_restarts_and_calls",
        "a kernel without its sessions calls, and is answered at once",
        kernel_restarts_and_calls,
    ),
    case(
        "restart.kernel_restarts_and_is_silent",
        "the board notices after 15 s of unanswered data, and calls",
        kernel_restarts_and_is_silent,
    ),
    case("roaming.kernel_moves", "the board follows the kernel to another port", kernel_moves),
    case(
        "roaming.board_moves",
        "the kernel follows the board to another address, within the session",
        |world, firmware, size| board_moves(world, firmware, size, V4),
    ),
    case("roaming.board_moves_v6", "the same over IPv6", |world, firmware, size| {
        board_moves(world, firmware, size, V6)
    }),
    case(
        "load.forged_initiations",
        "a flood of strangers' calls ends no tunnel",
        load::forged_initiations,
    ),
    case("load.garbage", "nor do bursts of everything else", load::garbage),
    case("link.pulled", "a minute without a cable, and the posts go on", pulled),
];

/// A board on a busy machine boots within a second.
const SOON: Duration = Duration::from_secs(20);

fn connect(world: &mut World, firmware: &Firmware, tunnel: &Tunnel) -> Result<()> {
    world.set_up(firmware, tunnel)?;
    let start = world.told();
    world.until_told(start, "posted: 200", SOON)?;
    world.until_told(start, "status:", SOON).map(drop)
}

/// The posts go on, from now.
fn posts_go_on(world: &mut World, limit: Duration) -> Result<()> {
    let start = world.told();
    world.until_told(start, "posted: 200", limit).map(drop)
}

fn board_initiates(world: &mut World, firmware: &Firmware, _: Size) -> Result<String> {
    connect(world, firmware, &Tunnel::fresh())?;
    ensure!(world.posts()? > 0, "the kernel's server got nothing");
    Ok(String::new())
}

fn kernel_initiates(world: &mut World, firmware: &Firmware, _: Size) -> Result<String> {
    world.set_up(firmware, &Tunnel::called_by_kernel())?;
    let start = world.told();
    let ping = world.run(&format!("ping -q -c 5 -w 15 {}; true", OUR_INNER[0]))?;
    let ping = data::Ping::parse(&ping)?;
    let dropped = world.dropped_since(&Status::default())?;
    // Those before the session wait for it in the kernel, and come all at once.
    let lost = ping.lost();
    ensure!(u64::from(lost) <= dropped.echoes(), "{lost} of 5 echoes lost, and only: {dropped}");
    ensure!(lost < 5, "no echo came: {dropped}");
    world.until_told(start, "posted: 200", SOON)?;
    Ok(match lost {
        0 => String::new(),
        _ => format!("{lost} of 5 echoes lost: {dropped}"),
    })
}

fn board_reboots(world: &mut World, firmware: &Firmware, size: Size) -> Result<String> {
    let times = size.of(3, 10);
    connect(world, firmware, &Tunnel::fresh())?;
    for _ in 0..times {
        world.power_off();
        // A call within 20 ms of an accepted one is a flood.
        world.pass(Duration::from_millis(100))?;
        world.power_on(firmware)?;
        let start = world.told();
        world.until_told(start, "posted: 200", SOON)?;
        world.until_told(start, "status:", SOON)?;
    }
    Ok(format!("{times} reboots"))
}

fn kernel_restarts_and_calls(world: &mut World, firmware: &Firmware, _: Size) -> Result<String> {
    let tunnel = Tunnel { kernel_knows_our_endpoint: true, ..Tunnel::fresh() };
    connect(world, firmware, &tunnel)?;
    world.pass(Duration::from_millis(100))?;
    world.set_up_kernel(&tunnel)?;
    let restarted = Instant::now();
    world.run(&format!("ping -c 1 -W 10 {}", OUR_INNER[0]))?;
    let answered = restarted.elapsed();
    ensure!(answered < Duration::from_secs(10), "the first echo took {answered:?}");
    posts_go_on(world, SOON)?;
    Ok(format!("answered in {:.1} s", answered.as_secs_f64()))
}

fn kernel_restarts_and_is_silent(
    world: &mut World,
    firmware: &Firmware,
    _: Size,
) -> Result<String> {
    let tunnel = Tunnel::fresh();
    connect(world, firmware, &tunnel)?;
    world.set_up_kernel(&tunnel)?;
    let (start, restarted) = (world.told(), Instant::now());
    world.until_told(start, "session up", Duration::from_secs(60))?;
    let noticed = restarted.elapsed();
    // 10 + 5 s after the first packet that went unanswered.
    ensure!(noticed > Duration::from_secs(14), "called after only {noticed:?}");
    posts_go_on(world, SOON)?;
    Ok(format!("called after {:.1} s", noticed.as_secs_f64()))
}

fn kernel_moves(world: &mut World, firmware: &Firmware, _: Size) -> Result<String> {
    connect(world, firmware, &Tunnel::fresh())?;
    let start = world.told();
    world.run("wg set wg0 listen-port 51821")?;
    world.run(&format!("ping -c 3 -w 10 {}", OUR_INNER[0]))?;
    world.until_told(start, "at 10.77.0.1:51821", SOON)?;
    posts_go_on(world, SOON)?;
    Ok(String::new())
}

fn board_moves(world: &mut World, firmware: &Firmware, _: Size, family: usize) -> Result<String> {
    connect(world, firmware, &Tunnel { outside: family, ..Tunnel::fresh() })?;
    let handshake = world.run("wg show wg0 latest-handshakes")?;
    let elsewhere = OURS_ELSEWHERE[family];
    let start = world.told();
    world.move_board(elsewhere)?;
    world.until_told(start, &format!("moved to {elsewhere}"), SOON)?;
    let (start, moved) = (world.told(), Instant::now());
    let endpoint = SocketAddr::new(elsewhere, OUR_PORT).to_string();
    while !world.run("wg show wg0 endpoints")?.trim().ends_with(&endpoint) {
        ensure!(moved.elapsed() < Duration::from_secs(60), "the kernel does not follow");
        world.pass(Duration::from_millis(100))?;
    }
    let followed = moved.elapsed();
    world.until_told(start, "posted: 200", SOON)?;
    let is_new = world.run("wg show wg0 latest-handshakes")? != handshake;
    ensure!(!is_new, "it took another handshake");
    Ok(format!("followed after {:.1} s, without a handshake", followed.as_secs_f64()))
}

fn pulled(world: &mut World, firmware: &Firmware, size: Size) -> Result<String> {
    connect(world, firmware, &Tunnel::fresh())?;
    world.switch.set_pulled(world.board_port, true);
    world.pass(Duration::from_secs(size.of(10, 60)))?;
    world.switch.set_pulled(world.board_port, false);
    let back = Instant::now();
    posts_go_on(world, Duration::from_secs(60))?;
    Ok(format!("posts go on {:.1} s after the cable is back", back.elapsed().as_secs_f64()))
}

fn rekey(world: &mut World, firmware: &Firmware, size: Size) -> Result<String> {
    connect(world, firmware, &Tunnel::fresh())?;
    let start = world.told();
    let mut times = Vec::new();
    for _ in 0..size.of(1, 2) {
        let began = Instant::now();
        let before = world.run("wg show wg0 latest-handshakes")?;
        while world.run("wg show wg0 latest-handshakes")? == before {
            world.pass(Duration::from_secs(1))?;
            ensure!(began.elapsed() < Duration::from_secs(150), "no other handshake");
        }
        let renewed = began.elapsed();
        // The kernel tells whole seconds, and is asked once in one.
        if renewed < Duration::from_secs(110) {
            let kernel = world.run("dmesg | grep wireguard: | tail -20")?;
            let board = world.since(start).join("\n");
            bail!(
                "after {renewed:?} already; the board said:\n{board}\nthe kernel said:\n{kernel}"
            );
        }
        times.push(format!("{:.0} s", renewed.as_secs_f64()));
    }
    let failed = world.since(start).iter().filter(|line| line.starts_with("not posted")).count();
    ensure!(failed == 0, "{failed} posts failed");
    Ok(format!("renewed after {}", times.join(" and ")))
}
