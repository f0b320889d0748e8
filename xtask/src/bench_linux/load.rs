//! Loads, and what they cost.

use core::time::Duration;
use std::process::{Child, Stdio};

use anyhow::{Context, Result};
use serde_json::Value;

use super::network::{Network, sh};
use super::program::Tunnel;
use crate::workspace::output_of;

/// What one turn of one program gave, by the names that `docs/measuring.md` explains.
pub(super) type Numbers = Vec<(&'static str, f64)>;

/// What TCP and UDP carried.
struct Transfer {
    bits_per_second: f64,
    bytes: f64,
    /// Of UDP, those that arrived.
    packets: f64,
    packets_per_second: f64,
}

pub(super) fn measure(network: &Network, tunnel: &Tunnel, time: Duration) -> Result<Numbers> {
    let mut numbers = Numbers::new();
    // Nothing was carried yet but a ping.
    if let Some(kib) = tunnel.memory_kib()? {
        numbers.push(("rest.memory_mb", kib as f64 * 1024.0 / 1e6));
    }
    let _server = Server::start(network)?;

    eprintln!("  ping");
    numbers.push(("ping.idle_ms", ping(tunnel, 300, "0.01")?));

    for (streams, rate_name, cost_name) in [
        ("1", "tcp1.gbit_per_s", "tcp1.cpu_s_per_gb"),
        ("8", "tcp8.gbit_per_s", "tcp8.cpu_s_per_gb"),
    ] {
        eprintln!("  TCP, streams: {streams}");
        let before = tunnel.cpu()?;
        let sent = iperf(network, tunnel, time, &["--parallel", streams])?;
        let cpu = tunnel.cpu()?.saturating_sub(before);
        numbers.push((rate_name, sent.bits_per_second / 1e9));
        if !cpu.is_zero() {
            numbers.push((cost_name, cpu.as_secs_f64() / (sent.bytes / 1e9)));
        }
    }

    eprintln!("  UDP, 64 bytes");
    let before = tunnel.cpu()?;
    let sent = iperf(network, tunnel, time, &["--udp", "--bandwidth", "0", "--length", "64"])?;
    let cpu = tunnel.cpu()?.saturating_sub(before);
    numbers.push(("udp64.packets_per_s", sent.packets_per_second));
    if !cpu.is_zero() {
        numbers.push(("udp64.cpu_us_per_packet", cpu.as_secs_f64() * 1e6 / sent.packets));
    }

    eprintln!("  ping under load");
    std::thread::scope(|scope| {
        // Longer than ping needs, so that there is load from its first packet to its last.
        let load = Duration::from_secs(5);
        let load = scope.spawn(move || iperf(network, tunnel, load, &[]));
        std::thread::sleep(Duration::from_secs(1));
        numbers.push(("ping.load_ms", ping(tunnel, 250, "0.01")?));
        let load = load.join().map_err(|_| anyhow::anyhow!("iperf3's thread"))?;
        load.map(drop)
    })?;
    Ok(numbers)
}

/// The median round trip, in milliseconds.
fn ping(tunnel: &Tunnel, count: u32, interval: &str) -> Result<f64> {
    let there = tunnel.there;
    let printed = sh(&format!("ip netns exec left ping -c {count} -i {interval} {there}"))?;
    let times = printed.lines().filter_map(|line| line.split_once("time=")?.1.split(' ').next());
    let mut times: Vec<f64> = times.filter_map(|time| time.parse().ok()).collect();
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().context("no answer to any ping")
}

fn iperf(network: &Network, tunnel: &Tunnel, time: Duration, more: &[&str]) -> Result<Transfer> {
    let mut command = network.command("left", "iperf3");
    command.args(["--client", tunnel.there, "--json"]);
    command.args(["--time", &time.as_secs().to_string()]).args(more);
    let printed = output_of(&mut command)?;
    let printed: Value = serde_json::from_str(&printed).context("what iperf3 printed")?;
    let end = &printed["end"];
    let of = |sum: &Value, field: &str| {
        sum[field].as_f64().with_context(|| format!("iperf3 says nothing of {field}: {end:#}"))
    };
    if more.contains(&"--udp") {
        let sum = &end["sum"];
        let packets = of(sum, "packets")? - of(sum, "lost_packets")?;
        let seconds = of(sum, "seconds")?;
        let bytes = packets * 64.0;
        return Ok(Transfer {
            bits_per_second: bytes * 8.0 / seconds,
            bytes,
            packets,
            packets_per_second: packets / seconds,
        });
    }
    let sum = &end["sum_received"];
    Ok(Transfer {
        bits_per_second: of(sum, "bits_per_second")?,
        bytes: of(sum, "bytes")?,
        packets: 0.0,
        packets_per_second: 0.0,
    })
}

/// An iperf3 that answers, until this is dropped.
struct Server(Child);

impl Server {
    fn start(network: &Network) -> Result<Self> {
        let mut command = network.command("right", "iperf3");
        command.arg("--server").stdin(Stdio::null()).stdout(Stdio::null());
        let server = Self(command.spawn().context("cannot run iperf3")?);
        let listens = "ip netns exec right ss -Hltn sport = :5201 | grep -q LISTEN";
        for _ in 0..200 {
            if sh(listens).is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
