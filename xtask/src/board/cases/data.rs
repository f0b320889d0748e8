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
    let ping = explained_ping(world, count, 0.002)?;
    Ok(format!("of {count} echoes {ping}"))
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
    let ping = explained_ping(world, count, 0.004);
    let carried = world.switch.take_carried();
    world.switch.set_faults(Faults::default());
    let ping = ping?;
    ensure!(carried.overtaken > count / 20, "hardly a frame was overtaken: {carried:?}");
    Ok(format!("of {count} echoes {ping}; {carried:?}"))
}

/// Lets the kernel ping the board, and finds each lost echo at one of the places that count
/// what they lose. On a good link that is a queue that was full, because a busy machine gave
/// the board no time.
fn explained_ping(world: &mut World, count: u32, interval: f64) -> Result<String> {
    let before = world.status()?;
    let ping = ping(world, count, interval)?;
    let dropped = world.dropped_since(&before)?;
    ensure!(!ping.duplicates, "an echo came twice out of the tunnel {}", ping.said);
    let lost = ping.lost;
    ensure!(u64::from(lost) <= dropped.echoes(), "{lost} of {count} lost, and only: {dropped}");
    ensure!(lost < count / 4, "{lost} of {count} lost: {dropped}");
    Ok(if lost == 0 { "none lost".into() } else { format!("{lost} lost: {dropped}") })
}

/// What the kernel's `ping` says in the end.
pub(super) struct Ping {
    pub(super) lost: u32,
    pub(super) duplicates: bool,
    said: String,
}

/// Lets the kernel ping the board.
fn ping(world: &mut World, count: u32, interval: f64) -> Result<Ping> {
    // Bursts of replies overrun the small buffer of `ping`; the kernel counts them all.
    let script = format!(
        "replies() {{
            awk '/^Icmp:/ {{ if (!n++) split($0, h)
                else for (i in h) if (h[i] == \"InEchoReps\") print $i }}' /proc/net/snmp
        }}
        before=$(replies)
        ping -q -c {count} -i {interval} -W 2 {}
        echo $(($(replies) - before)) replies",
        OUR_INNER[0]
    );
    let limit = Duration::from_secs_f64(f64::from(count) * interval * 4.0) + SOON;
    let ping = world.start(&script)?;
    let said = world.join(ping, limit)?;
    let replies = said.lines().find_map(|line| line.strip_suffix(" replies")?.parse::<u32>().ok());
    let replies = replies.with_context(|| format!("ping said {said:?}"))?;
    Ok(Ping { lost: count.saturating_sub(replies), ..Ping::parse(&said)? })
}

impl Ping {
    pub(super) fn parse(said: &str) -> Result<Self> {
        let line = said.lines().find(|line| line.contains("packets transmitted"));
        let line = line.with_context(|| format!("ping said {said:?}"))?;
        let mut numbers = line.split(|c: char| !c.is_ascii_digit()).filter_map(|w| w.parse().ok());
        let (sent, received): (u32, u32) =
            numbers.next().zip(numbers.next()).with_context(|| format!("ping said {line:?}"))?;
        Ok(Self {
            lost: sent.saturating_sub(received),
            duplicates: line.contains("duplicates"),
            said: said.to_owned(),
        })
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
