//! Floods of what strangers send, while honest traffic goes on.

use core::net::SocketAddr;
use core::time::Duration;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use getrandom::{SysRng, rand_core::UnwrapErr};
use wg_core::{PresharedKey, PrivateKey};

use super::data::Ping;
use super::{SOON, Size, connect};
use crate::board::{BOARD_MAC, Firmware, World};
use crate::interop::{
    KERNEL_INNER, KERNEL_OUTER, KERNEL_PORT, MTU, OUR_INNER, OUR_OUTER, OUR_PORT, Tunnel,
};
use crate::lan::{Carried, Datagram, Inner, emit};
use crate::peer::{Driver, FileClock, Peer, PeerConfig, Underlay};

/// Calls of somebody unknown whose mac1 is right, so that each costs the board the most that a
/// stranger can make it spend.
pub(super) fn forged_initiations(
    world: &mut World,
    firmware: &Firmware,
    size: Size,
) -> Result<String> {
    let tunnel = Tunnel::fresh();
    connect(world, firmware, &tunnel)?;
    let forged = stranger_calls(&tunnel)?;
    let time = Duration::from_secs(size.of(5, 10));
    flood(world, &Flood { time, per_second: 200, burst: 1 }, |number, _| Datagram {
        from: stranger(number),
        ..forged.clone()
    })
}

/// Everything else that a board may be sent, faster than it can look at, in bursts that are
/// longer than its card's ring.
pub(super) fn garbage(world: &mut World, firmware: &Firmware, size: Size) -> Result<String> {
    let tunnel = Tunnel::fresh();
    connect(world, firmware, &tunnel)?;
    let call = stranger_calls(&tunnel)?;
    let time = Duration::from_secs(size.of(5, 30));
    flood(world, &Flood { time, per_second: 1000, burst: 50 }, |number, chance| {
        let length = chance.usize(..1400);
        let mut payload: Vec<u8> = (0..length).map(|_| chance.u8(..)).collect();
        let kind = chance.u8(1..=4);
        match number % 5 {
            // Noise.
            0 => {}
            // A message of the right length, and nothing in it.
            1 => {
                payload.resize([148, 92, 64, 96][usize::from(kind - 1)], 0);
                payload[..4].copy_from_slice(&[kind, 0, 0, 0]);
            }
            // A call, and one whose mac1 is wrong.
            2 => payload.clone_from(&call.payload),
            3 => {
                payload.clone_from(&call.payload);
                payload[140] ^= 1;
            }
            // A packet that names a session.
            _ => {
                payload.resize(96, 0);
                payload[..8].copy_from_slice(&[4, 0, 0, 0, chance.u8(..), 0, 0, 0]);
            }
        }
        // A third of it as if it were from the kernel.
        let from = match number % 3 {
            0 => SocketAddr::new(KERNEL_OUTER[0], KERNEL_PORT),
            _ => stranger(number),
        };
        Datagram { from, payload, ..call.clone() }
    })
}

/// One of many places, so that no limit on one of them stops the flood. Half of them are
/// neighbours of the board's that are not there: nobody answers whoever asks for their cards.
fn stranger(number: u32) -> SocketAddr {
    let [.., high, low] = number.to_be_bytes();
    let host = match number % 2 {
        0 => [10, 77, high.saturating_add(1), low],
        _ => [10, 77, 0, 100 + low % 151],
    };
    SocketAddr::new(host.into(), 40_000)
}

struct Flood {
    time: Duration,
    per_second: u32,
    /// Datagrams that come at once.
    burst: u32,
}

/// How soon an echo comes back after a flood. Whatever still waits for an address that is not
/// there is given up after a second.
const RECOVERY: Duration = Duration::from_secs(5);

fn flood(
    world: &mut World,
    flood: &Flood,
    mut datagram: impl FnMut(u32, &mut fastrand::Rng) -> Datagram,
) -> Result<String> {
    let mut chance = fastrand::Rng::with_seed(1);
    let total = u32::try_from(flood.time.as_secs())? * flood.per_second;
    let seconds = flood.time.as_secs();
    let echoes = u32::try_from(seconds * 20)?;
    let handshake = world.run("wg show wg0 latest-handshakes")?;
    let before = world.status()?;
    world.switch.take_carried();
    let ping = format!("ping -q -c {echoes} -i 0.05 -w {} {}; true", seconds + 3, OUR_INNER[0]);
    let ping = world.start(&ping)?;
    let began = Instant::now();
    for number in 0..total {
        let mut frame = emit(&datagram(number, &mut chance))?;
        frame[..6].copy_from_slice(&BOARD_MAC);
        world.switch.inject(world.board_port, frame);
        let due = flood.time * (number / flood.burst * flood.burst) / total;
        while began.elapsed() < due {
            world.work()?;
        }
    }
    let took = began.elapsed();
    let ended = Instant::now();
    let again = world.start(&format!("until ping -q -c 1 -W 1 {}; do :; done", OUR_INNER[0]))?;
    world.join(again, SOON)?;
    let back = ended.elapsed();
    ensure!(back < RECOVERY, "the first echo after the flood took {back:?}");
    let ping = Ping::parse(&world.join(ping, Duration::from_secs(60))?)?;
    let start = world.told();
    world.until_told(start, "posted: 200", SOON)?;
    ensure!(ping.lost() < echoes, "nothing came through during the flood");
    let dropped = world.dropped_since(&before)?;
    let Carried { overrun, .. } = world.switch.take_carried();
    // Nobody but the peer can end a session; a tunnel that has been deaf for 15 s renews it.
    let is_new = world.run("wg show wg0 latest-handshakes")? != handshake;
    let session = if is_new { "in another session" } else { "in the same session" };
    Ok(format!(
        "{total} datagrams in {:.1} s, {overrun} of them too many for the emulator; \
         {} of {echoes} echoes lost: {dropped}; back after {:.2} s {session}",
        took.as_secs_f64(),
        ping.lost(),
        back.as_secs_f64()
    ))
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
