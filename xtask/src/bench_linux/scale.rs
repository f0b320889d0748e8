//! `--scale`: ten thousand peers.

use core::fmt::Write;
use core::time::Duration;
use std::time::Instant;

use anyhow::{Context, Result};
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use wg_core::PrivateKey;

use super::load::{self, Ping};
use super::network::{Network, sh};
use super::program::{Program, Tunnel};
use super::{crowd, write};

/// Allowed IPs of each peer.
const PREFIXES: usize = 10;
/// Strangers' calls in a second.
const FLOOD: u32 = 50_000;

/// Measures one program with many peers at its right end, and prints a line for each number.
pub(super) fn measure(
    network: &Network,
    program: &Program,
    peers: usize,
    time: Duration,
) -> Result<()> {
    let tunnel = program.start(network)?;
    eprintln!("  with one peer");
    let one = load::cost(network, &tunnel, time)?;
    let before = tunnel.right_memory_kib()?;

    let rng = &mut UnwrapErr(SysRng);
    let keys: Vec<_> = (0..peers).map(|_| PrivateKey::generate(rng)).collect();
    let mut config = String::new();
    for (number, key) in keys.iter().enumerate() {
        write!(config, "[Peer]\nPublicKey = {}\nAllowedIPs = ", key.public_key())?;
        for prefix in 0..PREFIXES {
            let network = (100 << 24) + ((number * PREFIXES + prefix) as u32) * 4;
            let comma = if prefix == 0 { "" } else { ", " };
            write!(config, "{comma}{}/30", std::net::Ipv4Addr::from(network))?;
        }
        config.push('\n');
    }
    write("/run/peers.conf".as_ref(), &config)?;
    eprintln!("  {peers} more");
    let start = Instant::now();
    sh("ip netns exec right wg addconf wg-right /run/peers.conf")?;
    let configured = start.elapsed();
    let after = tunnel.right_memory_kib()?;
    let start = Instant::now();
    let shown = sh("ip netns exec right wg show wg-right | wc -l")?;
    let show = start.elapsed();
    let lines: usize = shown.trim().parse().context("wc")?;
    anyhow::ensure!(lines > peers * 2, "wg show has {lines} lines");
    let many = load::cost(network, &tunnel, time)?;

    let server = sh("ip netns exec right wg show wg-right public-key")?;
    let server = server.trim().parse().map_err(|error| anyhow::anyhow!("{error}"))?;
    sh("ip -n left route replace local 198.18.0.0/16 dev lo &&
        ip -n right route replace 198.18.0.0/16 via 192.0.2.1")?;
    eprintln!("  all call at once");
    let cpu = tunnel.right_cpu()?;
    let (half, all, up) = crowd::in_left(|| crowd::storm(&keys, &server, Duration::from_secs(60)))?;
    let storm_cpu = tunnel.right_cpu()?.saturating_sub(cpu);
    eprintln!("  strangers call {FLOOD} times a second");
    let (sent, calm, flooded) = flooded(&tunnel, &server)?;

    let megabytes = |kib: u64| kib as f64 * 1024.0 / 1e6;
    println!("| {}, {peers} peers with {} allowed IPs | |", program.name(), peers * PREFIXES);
    println!("|---|---|");
    println!("| `wg addconf` | {:.2} s |", configured.as_secs_f64());
    println!(
        "| memory before, and with the peers | {:.1} MB, {:.1} MB |",
        megabytes(before),
        megabytes(after)
    );
    println!("| `wg show` | {:.2} s |", show.as_secs_f64());
    for ((name, one), (_, many)) in one.iter().zip(&many) {
        println!("| {name}, with one peer and with all | {one:.2}, {many:.2} |");
    }
    let half = half.map_or_else(|| "-".into(), |half| format!("{:.1} s", half.as_secs_f64()));
    println!(
        "| all call at once: half have a session, {up} have | {half}, {:.1} s ({:.1} s of CPU time) |",
        all.as_secs_f64(),
        storm_cpu.as_secs_f64()
    );
    println!(
        "| ping of a peer in peace: median, lost | {:.2} ms, {} % |",
        calm.median_ms, calm.lost_percent
    );
    println!(
        "| the same while strangers call {sent:.0} times a second | {:.2} ms, {} % |",
        flooded.median_ms, flooded.lost_percent
    );
    Ok(())
}

/// Median and loss of pings, before and during a flood, and how many calls there were a second.
fn flooded(tunnel: &Tunnel, server: &wg_core::PublicKey) -> Result<(f64, Ping, Ping)> {
    const TIME: Duration = Duration::from_secs(8);
    let calm = load::ping_with_loss(tunnel, 300)?;
    std::thread::scope(|scope| {
        let flood = scope.spawn(|| crowd::in_left(|| crowd::flood(server, FLOOD, TIME)));
        std::thread::sleep(Duration::from_secs(1));
        let during = load::ping_with_loss(tunnel, 300);
        let sent = flood.join().map_err(|_| anyhow::anyhow!("the flood's thread"))??;
        Ok((sent as f64 / TIME.as_secs_f64(), calm, during?))
    })
}

/// More descriptors than a shell has: each of the crowd has a socket.
pub(super) fn raise_limits() -> Result<()> {
    let most = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most })
        .context("cannot open a socket for each peer")?;
    Ok(())
}
