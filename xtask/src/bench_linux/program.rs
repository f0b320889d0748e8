//! The programs that are compared, and a tunnel between two processes of one of them.

use core::time::Duration;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use wg_core::PrivateKey;

use super::network::{ENDS, Network, sh};

/// How long a program may take to be ready.
const PATIENCE: Duration = Duration::from_secs(10);

/// A WireGuard in user space.
pub(super) struct Program {
    name: &'static str,
    file: PathBuf,
}

/// A tunnel that has a session.
pub(super) struct Tunnel {
    /// None for a bare cable.
    processes: Vec<Process>,
    /// The other end's address in the tunnel.
    pub(super) there: &'static str,
}

/// One end. It is killed when this is dropped, and its interface goes with it.
struct Process {
    child: Child,
}

impl Program {
    /// No tunnel: what the namespaces and the programs that measure can do.
    pub(super) const NONE: Self = Self { name: "none", file: PathBuf::new() };

    pub(super) fn of(name: &'static str, file: PathBuf) -> Self {
        Self { name, file }
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn is_tunnel(&self) -> bool {
        self.name != Self::NONE.name
    }

    /// Makes a tunnel, and waits until packets go through it.
    pub(super) fn start(&self, network: &Network) -> Result<Tunnel> {
        if !self.is_tunnel() {
            return Ok(Tunnel { processes: Vec::new(), there: "192.0.2.2" });
        }
        let mut processes = Vec::new();
        for end in ENDS {
            processes.push(self.start_at(network, end)?);
        }
        let rng = &mut UnwrapErr(SysRng);
        let keys = [PrivateKey::generate(rng), PrivateKey::generate(rng)];
        for (here, there) in [(0, 1), (1, 0)] {
            let (end, host, host_there) = (ENDS[here], here + 1, there + 1);
            let config = format!(
                "[Interface]\nPrivateKey = {}\nListenPort = 51820\n[Peer]\nPublicKey = {}\n\
                 AllowedIPs = 10.9.0.{host_there}/32\nEndpoint = 192.0.2.{host_there}:51820\n",
                keys[here].expose_base64().as_str(),
                keys[there].public_key()
            );
            let file = format!("/run/{end}.conf");
            fs::write(&file, config).with_context(|| file.clone())?;
            sh(&format!(
                "ip netns exec {end} wg setconf wg-{end} {file} &&
                 ip -n {end} addr add 10.9.0.{host}/24 dev wg-{end} &&
                 ip -n {end} link set wg-{end} mtu 1420 up"
            ))?;
        }
        let tunnel = Tunnel { processes, there: "10.9.0.2" };
        until("a packet goes through", || {
            sh(&format!("ip netns exec left ping -c 1 -W 1 {}", tunnel.there)).is_ok()
        })?;
        Ok(tunnel)
    }

    fn start_at(&self, network: &Network, end: &str) -> Result<Process> {
        let log = File::create(format!("/run/{end}.log"))?;
        let mut command = network.command(end, &self.file);
        command.arg("-f");
        if self.name == "boringtun-cli" {
            command.arg("--disable-drop-privileges");
        }
        command.arg(format!("wg-{end}")).env("LOG_LEVEL", "error");
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().with_context(|| format!("cannot run {}", self.name))?;
        let mut process = Process { child };
        until("its configuration socket is there", || {
            fs::exists(format!("/run/wireguard/wg-{end}.sock")).unwrap_or(false)
                || process.child.try_wait().is_ok_and(|ended| ended.is_some())
        })?;
        if let Some(status) = process.child.try_wait()? {
            let log = fs::read_to_string(format!("/run/{end}.log")).unwrap_or_default();
            bail!("ended ({status}):\n{log}");
        }
        Ok(process)
    }
}

impl Tunnel {
    /// CPU time that both ends took so far.
    pub(super) fn cpu(&self) -> Result<Duration> {
        self.processes.iter().map(|process| process.cpu()).sum()
    }

    /// CPU time that the right end took so far.
    pub(super) fn right_cpu(&self) -> Result<Duration> {
        self.processes.last().context("no process")?.cpu()
    }

    /// Memory in RAM, of the right end.
    pub(super) fn right_memory_kib(&self) -> Result<u64> {
        self.processes.last().context("no process")?.memory_kib()
    }

    /// Memory in RAM, of one end.
    pub(super) fn memory_kib(&self) -> Result<Option<u64>> {
        self.processes.first().map(Process::memory_kib).transpose()
    }
}

impl Process {
    /// User and system time, all threads, as `/proc/PID/stat` has it.
    fn cpu(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))
            .context("the program has ended")?;
        // The name, in parentheses, may have blanks.
        let fields = stat.rsplit_once(')').map(|(_, fields)| fields).unwrap_or_default();
        let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
        let ticks = ticks.sum::<Result<u64, _>>().context("/proc/PID/stat")?;
        Ok(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
    }

    fn memory_kib(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))
            .context("the program has ended")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        number.context("no VmRSS")?.parse().context("VmRSS")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for end in ENDS {
            // What a killed program leaves would be in the next one's way.
            let _ = fs::remove_file(format!("/run/wireguard/wg-{end}.sock"));
        }
    }
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) -> Result<()> {
    let start = Instant::now();
    while !is_so() {
        if start.elapsed() > PATIENCE {
            bail!("waited in vain until {what}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
