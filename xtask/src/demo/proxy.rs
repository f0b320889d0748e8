//! `wg-tokio proxy` and curl on this machine, without any permission, and a Linux kernel's WireGuard.

use core::time::Duration;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use getrandom::{SysRng, rand_core::UnwrapErr};
use wg_core::PrivateKey;

use super::http;
use crate::kernel::{Guest, Image};
use crate::setup;
use crate::workspace::{output_of, root, target_dir};

/// How long the program may take to say something. An emulated kernel computes slowly.
const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes of a file that is fetched.
const BULK: usize = 4_000_000;
/// Set in the process that has a network namespace of its own, in which it may make a TAP interface.
const INSIDE: &str = "WG_DEMO_INSIDE";

pub(super) fn show() -> Result<()> {
    if std::env::var_os(INSIDE).is_some() {
        return show_inside();
    }
    setup::require(setup::KERNEL)?;
    setup::require(&[setup::Need::Namespaces])?;
    let mut build = Command::new("cargo");
    output_of(build.args(["build", "--quiet", "--locked", "-p", "wg-tokio"]).current_dir(root()))?;
    let mut unshare = Command::new("unshare");
    unshare.args(["--net", "--fork", "--kill-child"]);
    if output_of(Command::new("id").arg("-u"))?.trim() != "0" {
        unshare.args(["--user", "--map-root-user"]);
    }
    unshare.arg(std::env::current_exe()?).args(["demo", "--proxy"]).env(INSIDE, "1");
    ensure!(unshare.status().context("cannot run unshare")?.success(), "it ended early: see above");
    Ok(())
}

fn show_inside() -> Result<()> {
    let image = Image::build()?;
    let dir = tempfile::tempdir()?;
    for link in [
        "link set lo up",
        "tuntap add dev tap0 mode tap",
        "addr add 10.0.2.2/24 dev tap0",
        "link set tap0 up",
    ] {
        output_of(Command::new("ip").args(link.split(' ')))?;
    }
    let netdev = "tap,id=cable,ifname=tap0,script=no,downscript=no";
    let mut kernel = Guest::boot_on(&image, netdev, dir.path(), "demo-proxy")?;
    let rng = &mut UnwrapErr(SysRng);
    let (ours, theirs) = (PrivateKey::generate(rng), PrivateKey::generate(rng));
    kernel.run(&format!(
        "set -e
        ip addr add 10.0.2.15/24 dev eth0
        ip link add wg0 type wireguard
        echo {} >/run/key
        wg set wg0 private-key /run/key listen-port 51820
        wg set wg0 peer {} allowed-ips 10.9.0.1,fd09::1
        ip addr add 10.9.0.2/24 dev wg0
        ip addr add fd09::2/64 dev wg0
        ip link set mtu 1420 up dev wg0
        {}
        head -c {BULK} /dev/urandom > /tmp/www/bulk",
        theirs.expose_base64().as_str(),
        ours.public_key(),
        http::KERNEL_SERVER,
    ))?;
    println!("kernel   10.9.0.2 and fd09::2 inside, WireGuard and a web server");

    let config = dir.path().join("wg0.conf");
    let text = format!(
        "[Interface]\nPrivateKey = {}\nAddress = 10.9.0.1/24, fd09::1/64\nDNS = 10.9.0.2\n\
         [Peer]\nPublicKey = {}\nEndpoint = 10.0.2.15:51820\nAllowedIPs = 10.9.0.0/24, fd09::/64\n",
        ours.expose_base64().as_str(),
        theirs.public_key()
    );
    fs::write(&config, text)?;
    fs::set_permissions(&config, fs::Permissions::from_mode(0o600))?;
    let here = TcpListener::bind("127.0.0.1:0")?;
    let expose = format!("8080={}", here.local_addr()?);
    let mut proxy = Proxy::start(&config, &["--listen", "0", "--expose", &expose])?;
    let line = proxy.says("SOCKS5 and HTTP CONNECT on ")?;
    let at = line.rsplit(' ').next().context("no address")?.to_owned();

    for (scheme, url) in [
        ("socks5h", "http://10.9.0.2/cgi-bin/uptime"),
        ("socks5h", "http://[fd09::2]/cgi-bin/uptime"),
        ("http", "http://10.9.0.2/cgi-bin/uptime"),
    ] {
        let answer = curl(&format!("{scheme}://{at}"), &["--data", "{\"uptime_ms\":1}", url])?;
        println!("curl     by {scheme} {url}: {answer}");
        ensure!(answer.starts_with("thanks"), "the kernel's server did not get it");
    }
    let bulk = dir.path().join("bulk");
    let file = bulk.display().to_string();
    curl(&format!("socks5h://{at}"), &["--output", &file, "http://10.9.0.2/bulk"])?;
    let (sent, fetched) = (kernel.run("sha256sum < /tmp/www/bulk")?, fs::File::open(&bulk)?);
    ensure!(output_of(Command::new("sha256sum").stdin(fetched))? == sent, "the bytes differ");
    println!("curl     {BULK} bytes fetched, as they were");

    // The kernel calls a port of ours, which leads to this program.
    kernel.start("echo hello | nc -w 5 10.9.0.1 8080")?;
    let mut caller = accept(&here)?;
    let mut said = String::new();
    BufReader::new(&mut caller).read_line(&mut said)?;
    ensure!(said == "hello\n", "the kernel said {said:?}");
    drop(caller);
    println!("exposed  the kernel called 10.9.0.1:8080, and said {:?}", said.trim());

    let refused = curl(&format!("socks5h://{at}"), &["http://10.9.0.2:81/"]);
    let why = proxy.says("cannot reach 10.9.0.2:81")?;
    ensure!(refused.is_err(), "a port where nobody listens answered");
    println!("refused  {why}");
    println!("the kernel says:\n{}", kernel.run("wg show wg0")?.trim());
    Ok(())
}

/// The next caller, who is not waited for longer than for anything else.
fn accept(here: &TcpListener) -> Result<TcpStream> {
    here.set_nonblocking(true)?;
    let start = Instant::now();
    loop {
        match here.accept() {
            Ok((caller, _)) => {
                caller.set_nonblocking(false)?;
                caller.set_read_timeout(Some(PATIENCE))?;
                return Ok(caller);
            }
            Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error.into()),
            Err(_) => ensure!(start.elapsed() < PATIENCE, "the kernel does not call"),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn curl(proxy: &str, arguments: &[&str]) -> Result<String> {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--fail", "--max-time", "60", "--proxytunnel"]);
    output_of(curl.args(["--proxy", proxy]).args(arguments))
}

/// The running program; it ends with this.
struct Proxy {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Proxy {
    fn start(config: &std::path::Path, more: &[&str]) -> Result<Self> {
        // The namespace's user may do all in it; the program is to have no permission.
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]);
        command
            .arg(target_dir().join("debug/wg-tokio"))
            .args(["proxy", "--config"])
            .arg(config)
            .args(more)
            .stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot run wg-tokio")?;
        let stderr = child.stderr.take().context("no standard error")?;
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                println!("wg-tokio {line}");
                // Nobody may listen any more.
                let _ = sender.send(line);
            }
        });
        Ok(Self { child, lines })
    }

    /// Waits for a line that contains `text`.
    fn says(&mut self, text: &str) -> Result<String> {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(text) => return Ok(line),
                Ok(_) => {}
                Err(_) => bail!("wg-tokio never said {text:?}"),
            }
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
