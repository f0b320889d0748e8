//! What the boards are held to, each on a tunnel of its own to the kernel.

use core::net::SocketAddr;
use core::time::Duration;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use getrandom::{SysRng, rand_core::UnwrapErr};
use wg_core::{PresharedKey, PrivateKey};

use super::{BOARD_MAC, Firmware, World};
use crate::interop::{KERNEL_INNER, KERNEL_PORT, MTU, OUR_INNER, OUR_OUTER, OUR_PORT, Tunnel};
use crate::lan::{Datagram, Faults, Inner, emit};
use crate::peer::{Driver, FileClock, Peer, PeerConfig, Underlay};

/// A behaviour of a board. What a run measured is returned to be shown.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) proves: &'static str,
    pub(super) run: fn(&mut World, &Firmware) -> Result<String>,
    /// Takes over a minute.
    pub(super) slow: bool,
}

const fn case(
    name: &'static str,
    proves: &'static str,
    run: fn(&mut World, &Firmware) -> Result<String>,
) -> Case {
    Case { name, proves, run, slow: false }
}

const fn slow(case: Case) -> Case {
    Case { slow: true, ..case }
}

pub(super) const CASES: &[Case] = &[
    case("handshake.board_initiates", "the kernel answers the board's call", board_initiates),
    case("handshake.kernel_initiates", "the board answers the kernel's call", kernel_initiates),
    case("data.bad_link", "2000 packets each way, some lost, doubled or overtaken", bad_link),
    slow(case("data.long_bad_link", "10,000 packets each way over a bad link", long_bad_link)),
    case("restart.board_reboots", "timestamps rise over power cuts without a clock", board_reboots),
    case("roaming.kernel_moves", "the board follows the kernel to another port", kernel_moves),
    case(
        "load.forged_initiations",
        "a flood of strangers' calls ends no tunnel",
        forged_initiations,
    ),
    case("link.pulled", "20 s without a cable, and the posts go on", |world, firmware| {
        pulled(world, firmware, Duration::from_secs(20))
    }),
    slow(case("link.pulled_for_a_minute", "the same for a minute", |world, firmware| {
        pulled(world, firmware, Duration::from_secs(60))
    })),
    slow(case("rekey.by_age", "the session is renewed after two minutes, in traffic", rekey)),
];

/// A board on a busy machine boots within a second.
const SOON: Duration = Duration::from_secs(20);

fn connect(world: &mut World, firmware: &Firmware, tunnel: &Tunnel) -> Result<()> {
    world.set_up(firmware, tunnel)?;
    let start = world.told();
    world.until_told(start, "posted: 200", SOON)?;
    world.until_told(start, "status:", SOON).map(drop)
}

fn board_initiates(world: &mut World, firmware: &Firmware) -> Result<String> {
    connect(world, firmware, &Tunnel::fresh())?;
    ensure!(world.posts()? > 0, "the kernel's server got nothing");
    Ok(String::new())
}

fn kernel_initiates(world: &mut World, firmware: &Firmware) -> Result<String> {
    world.set_up(firmware, &Tunnel::called_by_kernel())?;
    let start = world.told();
    world.run(&format!("ping -c 5 -w 15 -i 1 {}", OUR_INNER[0]))?;
    world.until_told(start, "posted: 200", SOON)?;
    Ok(String::new())
}

fn bad_link(world: &mut World, firmware: &Firmware) -> Result<String> {
    ping_over_bad_link(world, firmware, 2000)
}

fn long_bad_link(world: &mut World, firmware: &Firmware) -> Result<String> {
    ping_over_bad_link(world, firmware, 10_000)
}

fn ping_over_bad_link(world: &mut World, firmware: &Firmware, count: u32) -> Result<String> {
    connect(world, firmware, &Tunnel::fresh())?;
    world.switch.set_faults(Faults {
        loss_percent: 2,
        duplicate_percent: 2,
        delay: Duration::from_millis(3),
    });
    world.switch.take_carried();
    let ping = ping(world, count, 0.004)?;
    let carried = world.switch.take_carried();
    world.switch.set_faults(Faults::default());
    ensure!(!ping.duplicates, "a packet that came twice on the wire came twice out of the tunnel");
    ensure!(carried.overtaken > count / 20, "hardly a frame was overtaken: {carried:?}");
    // Two crossings lose 4 of a hundred; more than twice that is not the link's doing.
    ensure!(ping.lost < count * 9 / 100, "{} of {count} echoes were lost", ping.lost);
    Ok(format!("{} of {count} echoes lost; {carried:?}", ping.lost))
}

fn board_reboots(world: &mut World, firmware: &Firmware) -> Result<String> {
    connect(world, firmware, &Tunnel::fresh())?;
    for _ in 0..3 {
        world.power_off();
        // A call within 20 ms of an accepted one is a flood.
        world.pass(Duration::from_millis(100))?;
        world.power_on(firmware)?;
        let start = world.told();
        world.until_told(start, "posted: 200", SOON)?;
        world.until_told(start, "status:", SOON)?;
    }
    Ok("3 reboots".into())
}

fn kernel_moves(world: &mut World, firmware: &Firmware) -> Result<String> {
    connect(world, firmware, &Tunnel::fresh())?;
    let start = world.told();
    world.run("wg set wg0 listen-port 51821")?;
    world.run(&format!("ping -c 3 -w 10 {}", OUR_INNER[0]))?;
    world.until_told(start, "at 10.77.0.1:51821", SOON)?;
    let start = world.told();
    world.until_told(start, "posted: 200", SOON)?;
    Ok(String::new())
}

fn pulled(world: &mut World, firmware: &Firmware, time: Duration) -> Result<String> {
    connect(world, firmware, &Tunnel::fresh())?;
    world.switch.set_pulled(world.board_port, true);
    world.pass(time)?;
    world.switch.set_pulled(world.board_port, false);
    let (start, back) = (world.told(), Instant::now());
    world.until_told(start, "posted: 200", Duration::from_secs(60))?;
    Ok(format!("posts go on {:.1} s after the cable is back", back.elapsed().as_secs_f64()))
}

fn rekey(world: &mut World, firmware: &Firmware) -> Result<String> {
    connect(world, firmware, &Tunnel::fresh())?;
    let first = world.run("wg show wg0 latest-handshakes")?;
    let start = world.told();
    let began = Instant::now();
    while world.run("wg show wg0 latest-handshakes")? == first {
        world.pass(Duration::from_secs(1))?;
        ensure!(began.elapsed() < Duration::from_secs(140), "no second handshake");
    }
    let failed = world.since(start).iter().filter(|line| line.starts_with("not posted")).count();
    ensure!(failed == 0, "{failed} posts failed");
    Ok(format!("renewed after {:.0} s", began.elapsed().as_secs_f64()))
}

/// How many copies of a stranger's call come, in how long.
const FORGED: u32 = 2000;
const FLOOD: Duration = Duration::from_secs(10);

fn forged_initiations(world: &mut World, firmware: &Firmware) -> Result<String> {
    let tunnel = Tunnel::fresh();
    connect(world, firmware, &tunnel)?;
    let forged = stranger_calls(&tunnel)?;
    let ping = world.start(&format!("ping -q -c 200 -i 0.05 -w 20 {}; true", OUR_INNER[0]))?;
    let began = Instant::now();
    for number in 0..FORGED {
        let mut datagram = forged.clone();
        // From many places, so that no limit on one of them stops the flood.
        let [high, low] = u16::try_from(number % 60_000)?.to_be_bytes();
        datagram.from = SocketAddr::new([10, 77, high.wrapping_add(1), low].into(), 40_000);
        let mut frame = emit(&datagram)?;
        frame[..6].copy_from_slice(&BOARD_MAC);
        world.switch.inject(world.board_port, frame);
        while began.elapsed() < FLOOD * number / FORGED {
            world.work()?;
        }
    }
    let ping = Ping::parse(&world.join(ping, Duration::from_secs(60))?)?;
    let start = world.told();
    world.until_told(start, "posted: 200", SOON)?;
    let status = world.until_told(start, "status:", SOON)?;
    ensure!(ping.lost < 200, "nothing came through during the flood");
    Ok(format!("{FORGED} calls in {FLOOD:?}, {} of 200 echoes lost; {status}", ping.lost))
}

/// A call to the board from somebody that it does not know.
fn stranger_calls(tunnel: &Tunnel) -> Result<Datagram> {
    #[derive(Default)]
    struct Sent(Vec<Datagram>);
    impl Underlay for Sent {
        fn send(&mut self, datagram: &Datagram) -> Result<()> {
            self.0.push(datagram.clone());
            Ok(())
        }
        fn receive(&mut self) -> Result<Option<Datagram>> {
            Ok(None)
        }
    }
    let config = PeerConfig {
        private_key: PrivateKey::generate(&mut UnwrapErr(SysRng)),
        their_key: tunnel.our_key.public_key(),
        preshared_key: PresharedKey::NONE,
        local: SocketAddr::new([10, 77, 0, 9].into(), KERNEL_PORT),
        remote: Some(SocketAddr::new(OUR_OUTER[0], OUR_PORT)),
        allowed_ips: vec![KERNEL_INNER[0]],
    };
    let mut stranger =
        Peer::new(Driver::Engine, &config, Inner::new(&[OUR_INNER[0]], MTU), FileClock::wall())?;
    stranger.inner.ping(KERNEL_INNER[0], 1, 56)?;
    let mut sent = Sent::default();
    for _ in 0..3 {
        stranger.step(&mut sent)?;
    }
    sent.0.pop().context("the stranger calls")
}

/// What the kernel's `ping` says in the end.
struct Ping {
    lost: u32,
    duplicates: bool,
}

/// Lets the kernel ping the board.
fn ping(world: &mut World, count: u32, interval: f64) -> Result<Ping> {
    let limit = Duration::from_secs_f64(f64::from(count) * interval * 4.0) + SOON;
    let script = format!("ping -q -c {count} -i {interval} -W 2 {}; true", OUR_INNER[0]);
    let ping = world.start(&script)?;
    Ping::parse(&world.join(ping, limit)?)
}

impl Ping {
    fn parse(said: &str) -> Result<Self> {
        let line = said.lines().find(|line| line.contains("packets transmitted"));
        let line = line.with_context(|| format!("ping said {said:?}"))?;
        let mut numbers = line.split(|c: char| !c.is_ascii_digit()).filter_map(|w| w.parse().ok());
        let (sent, received): (u32, u32) =
            numbers.next().zip(numbers.next()).with_context(|| format!("ping said {line:?}"))?;
        Ok(Self { lost: sent.saturating_sub(received), duplicates: line.contains("duplicates") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_ping_is_understood() {
        let said = "\n--- 10.9.0.2 ping statistics ---\n\
            2000 packets transmitted, 1920 packets received, 4% packet loss\n";
        let ping = Ping::parse(said).expect("the end of a ping");
        assert_eq!((ping.lost, ping.duplicates), (80, false));
        let said = "5 packets transmitted, 5 packets received, 2 duplicates, 0% packet loss";
        assert!(Ping::parse(said).expect("the end of a ping").duplicates);
        assert!(Ping::parse("ping: bad address").is_err());
    }
}
