//! Thousands of packets each way.

use core::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::{SOON, Size, connect};
use crate::board::{Firmware, World};
use crate::interop::{OUR_INNER, Tunnel};
use crate::lan::Faults;

pub(super) fn good_link(world: &mut World, firmware: &Firmware, size: Size) -> Result<String> {
    let count = size.of(1000, 10_000);
    connect(world, firmware, &Tunnel::fresh())?;
    let ping = explained_ping(world, count)?;
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
    let ping = explained_ping(world, count);
    let carried = world.switch.take_carried();
    world.switch.set_faults(Faults::default());
    let ping = ping?;
    ensure!(carried.overtaken > count / 20, "hardly a frame was overtaken: {carried:?}");
    Ok(format!("of {count} echoes {ping}; {carried:?}"))
}

/// Lets the kernel ping the board, and finds each lost echo at one of the places that count
/// what they lose. On a good link that is a queue that was full, because a busy machine gave
/// the board no time.
fn explained_ping(world: &mut World, count: u32) -> Result<String> {
    // Bursts of replies overrun the small buffer of `ping`; the kernel counts them all. And its
    // own count of doubles is not to be relied on: its table of what was sent and what came is
    // written from a signal's handler and outside of it.
    let script = format!(
        "replies() {{
            awk '/^Icmp:/ {{ if (!n++) split($0, h)
                else for (i in h) if (h[i] == \"InEchoReps\") print $i }}' /proc/net/snmp
        }}
        before=$(replies)
        ping -c {count} -i 0.004 -W 2 {} |
            awk 'sub(/.*seq=/, \"\") {{ twice += seen[$1]++ > 0 }} END {{ print twice + 0 }}'
        echo $(($(replies) - before))",
        OUR_INNER[0]
    );
    let before = world.status()?;
    let ping = world.start(&script)?;
    let said = world.join(ping, Duration::from_millis(16) * count + SOON)?;
    let dropped = world.dropped_since(&before)?;
    let mut numbers = said.split_whitespace().map(str::parse::<u32>);
    let (Some(Ok(twice)), Some(Ok(replies))) = (numbers.next(), numbers.next()) else {
        bail!("ping said {said:?}");
    };
    ensure!(twice == 0, "{twice} of {count} echoes came twice");
    let lost = count.saturating_sub(replies);
    ensure!(u64::from(lost) <= dropped.echoes(), "{lost} of {count} lost, and only: {dropped}");
    ensure!(lost < count / 4, "{lost} of {count} lost: {dropped}");
    Ok(if lost == 0 { "none lost".into() } else { format!("{lost} lost: {dropped}") })
}

/// What the kernel's `ping` says in the end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ping {
    pub(super) sent: u32,
    pub(super) received: u32,
}

impl Ping {
    pub(super) fn parse(said: &str) -> Result<Self> {
        let line = said.lines().find(|line| line.contains("packets transmitted"));
        let line = line.with_context(|| format!("ping said {said:?}"))?;
        let count = |words: &str| -> Option<u32> {
            let before = line.split(", ").find_map(|part| part.strip_suffix(words))?;
            before.parse().ok()
        };
        let sent = count(" packets transmitted").with_context(|| format!("ping said {line:?}"))?;
        let received = count(" packets received").with_context(|| format!("ping said {line:?}"))?;
        Ok(Self { sent, received })
    }

    pub(super) fn lost(&self) -> u32 {
        self.sent.saturating_sub(self.received)
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
        assert_eq!(ping, Ping { sent: 2000, received: 1920 });
        assert_eq!(ping.lost(), 80);
        let said = "5 packets transmitted, 4 packets received, 2 duplicates, 20% packet loss";
        assert_eq!(Ping::parse(said).expect("the end of a ping").lost(), 1);
        assert!(Ping::parse("ping: bad address").is_err());
    }
}
