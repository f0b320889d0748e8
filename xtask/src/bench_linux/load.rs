//! Loads, and what they cost.

use core::time::Duration;
use std::process::{Child, Stdio};

use anyhow::{Context, Result, bail};
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

    tcp(network, tunnel, time, "1", &mut numbers)?;
    tcp(network, tunnel, time, "8", &mut numbers)?;
    udp(network, tunnel, time, &mut numbers)?;

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

/// What a byte of TCP and a small packet cost.
pub(super) fn cost(network: &Network, tunnel: &Tunnel, time: Duration) -> Result<Numbers> {
    let _server = Server::start(network)?;
    let mut numbers = Numbers::new();
    tcp(network, tunnel, time, "1", &mut numbers)?;
    udp(network, tunnel, time, &mut numbers)?;
    numbers.retain(|(name, _)| name.contains("cpu"));
    Ok(numbers)
}

fn tcp(
    network: &Network,
    tunnel: &Tunnel,
    time: Duration,
    streams: &str,
    numbers: &mut Numbers,
) -> Result<()> {
    let (rate_name, cost_name) = match streams {
        "1" => ("tcp1.gbit_per_s", "tcp1.cpu_s_per_gb"),
        _ => ("tcp8.gbit_per_s", "tcp8.cpu_s_per_gb"),
    };
    eprintln!("  TCP, streams: {streams}");
    let before = tunnel.cpu()?;
    let sent = iperf(network, tunnel, time, &["--parallel", streams])?;
    let cpu = tunnel.cpu()?.saturating_sub(before);
    numbers.push((rate_name, sent.bits_per_second / 1e9));
    if !cpu.is_zero() {
        numbers.push((cost_name, cpu.as_secs_f64() / (sent.bytes / 1e9)));
    }
    Ok(())
}

fn udp(network: &Network, tunnel: &Tunnel, time: Duration, numbers: &mut Numbers) -> Result<()> {
    eprintln!("  UDP, 64 bytes");
    let before = tunnel.cpu()?;
    let sent = iperf(network, tunnel, time, &["--udp", "--bandwidth", "0", "--length", "64"])?;
    let cpu = tunnel.cpu()?.saturating_sub(before);
    numbers.push(("udp64.packets_per_s", sent.packets_per_second));
    if !cpu.is_zero() {
        numbers.push(("udp64.cpu_us_per_packet", cpu.as_secs_f64() * 1e6 / sent.packets));
    }
    Ok(())
}

/// What became of many pings.
pub(super) struct Ping {
    pub(super) median_ms: f64,
    pub(super) lost_percent: String,
}

pub(super) fn ping_with_loss(tunnel: &Tunnel, count: u32) -> Result<Ping> {
    let there = tunnel.there;
    // An exit code of 1 says that none was answered; the median says so, too.
    let printed = sh(&format!("ip netns exec left ping -c {count} -i 0.01 -W 2 {there} || true"))?;
    let lost = printed.split(", ").find_map(|part| part.split_once("% packet loss"));
    let lost_percent = lost.context("what ping printed")?.0.to_owned();
    Ok(Ping { median_ms: median(&printed)?, lost_percent })
}

/// The median round trip, in milliseconds.
fn ping(tunnel: &Tunnel, count: u32, interval: &str) -> Result<f64> {
    let there = tunnel.there;
    let printed = sh(&format!("ip netns exec left ping -c {count} -i {interval} {there}"))?;
    median(&printed)
}

fn median(printed: &str) -> Result<f64> {
    let times = printed.lines().filter_map(|line| line.split_once("time=")?.1.split(' ').next());
    let mut times: Vec<f64> = times.filter_map(|time| time.parse().ok()).collect();
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().context("no answer to any ping")
}

fn iperf(network: &Network, tunnel: &Tunnel, time: Duration, more: &[&str]) -> Result<Transfer> {
    let mut command = network.command("left", "iperf3");
    command.args(["--client", tunnel.there, "--json"]);
    command.args(["--time", &time.as_secs().to_string()]).args(more);
    let mut tries_left = 10;
    let printed = loop {
        let printed = output_of(&mut command)?;
        let printed: Value = serde_json::from_str(&printed).context("what iperf3 printed")?;
        tries_left -= 1;
        match printed["error"].as_str() {
            None => break printed,
            // It has not ended the run before, which has ended here.
            Some(error) if error.contains("busy") && tries_left > 0 => {
                std::thread::sleep(Duration::from_millis(200));
            }
            Some(error) => bail!("iperf3: {error}"),
        }
    };
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
