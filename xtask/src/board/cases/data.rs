//! Thousands of packets each way.

use core::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{SOON, Size, connect};
use crate::board::{Firmware, World};
use crate::interop::{OUR_INNER, Tunnel};
use crate::lan::Faults;

pub(super) fn good_link(world: &mut World, firmware: &Firmware, size: Size) -> Result<String> {
    let count = size.of(2000, 10_000);
    connect(world, firmware, &Tunnel::fresh())?;
    world.switch.take_carried();
    let before = world.status()?;
    let ping = ping(world, count, 0.002)?;
    let dropped = world.dropped_since(&before)?;
    // Nothing is lost but where this machine had no time for the board: of that a count is kept.
    ensure!(
        ping.lost <= dropped.total(),
        "{} of {count} echoes were lost, and only of these is known where: {dropped:?}",
        ping.lost
    );
    ensure!(ping.lost < count / 20, "{} of {count} echoes were lost: {dropped:?}", ping.lost);
    Ok(match ping.lost {
        0 => format!("none of {count} echoes lost"),
        lost => format!("{lost} of {count} echoes lost; {dropped:?}"),
    })
}

pub(super) fn bad_link(world: &mut World, firmware: &Firmware, size: Size) -> Result<String> {
    let count = size.of(2000, 10_000);
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

/// What the kernel's `ping` says in the end.
pub(super) struct Ping {
    pub(super) lost: u32,
    pub(super) duplicates: bool,
}

/// Lets the kernel ping the board.
fn ping(world: &mut World, count: u32, interval: f64) -> Result<Ping> {
    let limit = Duration::from_secs_f64(f64::from(count) * interval * 4.0) + SOON;
    let script = format!("ping -q -c {count} -i {interval} -W 2 {}; true", OUR_INNER[0]);
    let ping = world.start(&script)?;
    Ping::parse(&world.join(ping, limit)?)
}

impl Ping {
    pub(super) fn parse(said: &str) -> Result<Self> {
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
