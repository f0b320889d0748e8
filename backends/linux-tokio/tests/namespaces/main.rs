//! The program between real TUN interfaces, in network namespaces that this test makes and
//! that go with it.
//!
//! Needs `ip`, `unshare`, `ping` and `python3`, and either root or user namespaces with access
//! to `/dev/net/tun`; one test needs `wireguard-go` and `wg` besides. Where that is missing the
//! tests are skipped; with `CI` set they fail.

use core::time::Duration;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Instant;

use wg_core::PrivateKey;

mod allocations;
mod daemon;
mod days;
mod leaks;
mod manners;
mod tunnel;

const PATIENCE: Duration = Duration::from_secs(20);
/// Set in the process that is inside its own namespaces.
const INSIDE: &str = "WG_TOKIO_TEST_INSIDE";

/// Runs `test` in new network and mount namespaces, in which it is root: this test program is
/// started again there.
fn isolated(name: &str, test: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        // A place for the names of namespaces that nobody else sees.
        sh("mount -t tmpfs tmpfs /run && mkdir -p /run/netns && ip link set lo up");
        return test();
    }
    // With the first process of its own, whatever the test has started ends.
    let mut unshare = vec!["--net", "--mount", "--pid", "--mount-proc", "--fork", "--kill-child"];
    if !is_root() {
        unshare.extend(["--user", "--map-root-user"]);
    }
    let ready = "test -r /dev/net/tun && command -v ip && command -v ping && command -v python3 && mount -t tmpfs tmpfs /run";
    let possible = Command::new("unshare").args(&unshare).args(["sh", "-c", ready]).output();
    if !possible.as_ref().is_ok_and(|output| output.status.success()) {
        let why = "needs unshare, ip, ping, python3, /dev/net/tun, and root or user namespaces";
        assert!(std::env::var_os("CI").is_none(), "{why}: {possible:?}");
        eprintln!("skipped: {why}");
        return;
    }
    let itself = std::env::current_exe().unwrap();
    let status = Command::new("unshare")
        .args(&unshare)
        .arg(itself)
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success(), "see above");
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout.trim_ascii() == b"0"
}

fn output(script: &str) -> Output {
    Command::new("sh").args(["-c", script]).output().unwrap()
}

fn sh(script: &str) -> String {
    let Output { status, stdout, stderr } = output(script);
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{script}: {status}\n{stdout}{stderr}");
    stdout.into_owned()
}

/// Waits until a script succeeds.
fn until(script: &str) {
    let start = Instant::now();
    while !output(script).status.success() {
        assert!(start.elapsed() < PATIENCE, "{script}: never");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Two namespaces, a and b, joined by a cable.
fn cable() {
    sh("ip netns add a && ip netns add b &&
        ip link add eth0 netns a type veth peer name eth0 netns b &&
        for end in a b; do
            ip -n $end link set lo up && ip -n $end link set eth0 up || exit 1
        done &&
        ip -n a addr add 192.0.2.1/24 dev eth0 && ip -n b addr add 192.0.2.2/24 dev eth0 &&
        ip -n a addr add 2001:db8::1/64 dev eth0 nodad &&
        ip -n b addr add 2001:db8::2/64 dev eth0 nodad");
}

/// A running `wg-tokio run`.
struct Program {
    child: Child,
    lines: mpsc::Receiver<String>,
    log: Vec<String>,
}

impl Program {
    fn start(namespace: &str, config: &Path, more: &[&str]) -> Self {
        Self::start_by("", namespace, config, more)
    }

    /// Starts it by a shell, in a mount namespace of its own, after `before`.
    fn start_by(before: &str, namespace: &str, config: &Path, more: &[&str]) -> Self {
        let script = format!("{before}\nexec \"$@\"");
        let mut child = Command::new("ip")
            .args(["netns", "exec", namespace, "sh", "-ec", &script, "sh"])
            .args([env!("CARGO_BIN_EXE_wg-tokio"), "run", "--config"])
            .arg(config)
            .args(more)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = mpsc::channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                eprintln!("{line}");
                let _ = sender.send(line);
            }
        });
        Self { child, lines, log: Vec::new() }
    }

    /// Waits for a line that contains `text`.
    fn says(&mut self, text: &str) {
        let start = Instant::now();
        while !self.log.iter().any(|line| line.contains(text)) {
            let left = PATIENCE.saturating_sub(start.elapsed());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.log.push(line),
                Err(_) => panic!("never said {text:?}, but {:#?}", self.log),
            }
        }
    }

    /// How many lines so far contain `text`.
    fn count(&mut self, text: &str) -> usize {
        self.log.extend(self.lines.try_iter());
        self.log.iter().filter(|line| line.contains(text)).count()
    }

    /// Waits for its end, and gives the exit code and the last line.
    fn fails(mut self) -> (Option<i32>, String) {
        let code = self.child.wait().unwrap().code();
        self.log.extend(self.lines.iter());
        (code, self.log.pop().unwrap_or_default())
    }

    fn stop(mut self, signal: &str) {
        sh(&format!("kill -{signal} {}", self.child.id()));
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}");
        self.says("stopping");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn key() -> PrivateKey {
    PrivateKey::generate(&mut wg_tokio::system_random().unwrap())
}

/// The configurations of a and b, in a folder of their own: a knows where b is.
struct Configs {
    _folder: tempfile::TempDir,
    a: PathBuf,
    b: PathBuf,
    state: PathBuf,
}

impl Configs {
    fn new(endpoint: &str, a_allows: &str, interface: &str) -> Self {
        let (a, b) = (key(), key());
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        let write = |name: &str, text: String| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            path
        };
        let psk = "PresharedKey = FpCyhws9cxwWoV4xELtfJvjJN+zQVRPISllRWgeopVE=";
        let text = format!(
            "[Interface]\nPrivateKey = {}\nAddress = 10.9.0.1/24, fd09::1/64\n{interface}\n\
             [Peer]\nPublicKey = {}\n{psk}\nEndpoint = {endpoint}\nAllowedIPs = {a_allows}\n",
            a.expose_base64().as_str(),
            b.public_key()
        );
        let a_path = write("wg-a.conf", text);
        let text = format!(
            "[Interface]\nPrivateKey = {}\nListenPort = 51820\n\
             Address = 10.9.0.2/24\nAddress = fd09::2/64\n\
             [Peer]\nPublicKey = {}\n{psk}\nAllowedIPs = 10.9.0.1/32, fd09::1/128\n",
            b.expose_base64().as_str(),
            a.public_key()
        );
        let b_path = write("wg-b.conf", text);
        let state = folder.path().join("wg-a.state");
        Self { _folder: folder, a: a_path, b: b_path, state }
    }
}
