//! `wg-tokio proxy` with curl and iperf3, as an ordinary user: the program, and at the other end of
//! its tunnel a host in this process, or the program again.
//!
//! Needs `curl`, `iperf3` and `python3`. Where they are missing the tests are skipped; with `CI`
//! set they fail.

#![cfg(feature = "proxy")]

mod mistakes;
mod refusals;
mod traffic;

use core::time::Duration;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wg_core::PrivateKey;
use wg_core::config::Config;
use wg_tokio::netstack::{Net, NetConfig};

const PATIENCE: Duration = Duration::from_secs(20);

fn key() -> PrivateKey {
    PrivateKey::generate(&mut wg_tokio::system_random().unwrap())
}

fn has(programs: &[&str]) -> bool {
    for program in programs {
        if Command::new(program).arg("--version").output().is_err() {
            assert!(std::env::var_os("CI").is_none(), "needs {program}");
            eprintln!("skipped: needs {program}");
            return false;
        }
    }
    true
}

/// A port that nobody has.
fn free_port() -> u16 {
    std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Two ends of a tunnel as files: 10.9.0.1 and fd09::1, which knows where 10.9.0.2 and fd09::2 is.
struct Ends {
    folder: tempfile::TempDir,
    client: String,
    server: String,
}

impl Ends {
    fn new() -> Self {
        let (ours, theirs, port) = (key(), key(), free_port());
        let client = format!(
            "[Interface]\nPrivateKey = {}\nAddress = 10.9.0.1/24, fd09::1/64\nDNS = 10.9.0.2\n\
             [Peer]\nPublicKey = {}\nEndpoint = 127.0.0.1:{port}\n\
             AllowedIPs = 10.9.0.0/24, 10.7.0.0/16, fd09::/64\n",
            ours.expose_base64().as_str(),
            theirs.public_key()
        );
        let server = format!(
            "[Interface]\nPrivateKey = {}\nAddress = 10.9.0.2/24, fd09::2/64\nListenPort = {port}\n\
             [Peer]\nPublicKey = {}\nAllowedIPs = 10.9.0.1/32, fd09::1/128\n",
            theirs.expose_base64().as_str(),
            ours.public_key()
        );
        Self { folder: tempfile::tempdir().unwrap(), client, server }
    }

    /// A file for the program, with this text.
    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// The client's end as the program.
    fn proxy(&self, more: &[&str]) -> Program {
        Program::start(&self.file("wg0.conf", &self.client), more)
    }

    /// The server's end as a host in this process.
    async fn host(&self) -> Net {
        Net::connect(NetConfig::of(&Config::parse(&self.server).unwrap())).await.unwrap()
    }
}

/// A running `wg-tokio proxy`.
struct Program {
    child: Child,
    lines: mpsc::Receiver<String>,
    log: Vec<String>,
}

impl Program {
    fn start(config: &std::path::Path, more: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_wg-tokio"))
            .args(["proxy", "--config"])
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
    fn says(&mut self, text: &str) -> String {
        let start = Instant::now();
        loop {
            if let Some(line) = self.log.iter().find(|line| line.contains(text)) {
                return line.clone();
            }
            let left = PATIENCE.saturating_sub(start.elapsed());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.log.push(line),
                Err(_) => panic!("never said {text:?}, but {:#?}", self.log),
            }
        }
    }

    /// Where it answers proxy clients.
    fn address(&mut self) -> String {
        let line = self.says("SOCKS5 and HTTP CONNECT on ");
        line.rsplit(' ').next().unwrap().to_owned()
    }

    fn stop(mut self) {
        let killed = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(killed.success());
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}");
        self.says("SIGTERM: stopping");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn run(program: &'static str, arguments: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.args(arguments);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

/// What curl prints, its complaints included, and its exit code.
async fn curl(arguments: &[&str]) -> (Option<i32>, String) {
    let limits = ["--silent", "--show-error", "--max-time", "25"];
    let output = run("curl", &[&limits, arguments].concat()).await;
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

/// A server of HTTP that answers with the path that it was asked for.
fn serve_http(net: &Net, port: u16) {
    let listener = net.tcp_listen(SocketAddr::new([0; 8].into(), port)).unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = vec![0; 4096];
                let length = stream.read(&mut request).await.unwrap();
                let request = String::from_utf8_lossy(&request[..length]).into_owned();
                let path = request.split(' ').nth(1).unwrap_or("?");
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{path}",
                    path.len()
                );
                stream.write_all(answer.as_bytes()).await.unwrap();
            });
        }
    });
}

/// A name server: `server.test` is 10.9.0.2, and there is no other name.
fn serve_names(net: &Net) {
    let socket = net.udp_bind(SocketAddr::new([0; 8].into(), 53)).unwrap();
    tokio::spawn(async move {
        let mut query = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut query).await {
            let query = &query[..length];
            let Some(end) = query[12..].iter().position(|&byte| byte == 0) else { continue };
            let (name, rest) = query[12..].split_at(end);
            let is_known = name == b"\x06server\x04test";
            let is_address = is_known && rest[1..3] == [0, 1];
            let mut answer = query[..12 + end + 5].to_vec();
            let code = if is_known { 0x80 } else { 0x83 };
            answer[2..12].copy_from_slice(&[0x81, code, 0, 1, 0, is_address.into(), 0, 0, 0, 0]);
            if is_address {
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 10, 0, 4, 10, 9, 0, 2]);
            }
            socket.send_to(&answer, from).await.unwrap();
        }
    });
}
