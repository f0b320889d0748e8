//! The template as it stands is a board: this computer. It posts through a gateway, and again
//! after a reboot, without ever knowing the time.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use async_executor::LocalExecutor;
use embassy_net::{Config, Ipv4Cidr, StackResources, StaticConfigV4};
use gateway::{GATEWAY, Service, Tunnel, serve};
use tiny_http::{Response, Server};
use wg_nal::Peer;
use wg_nal::wg_core::{PresharedKey, PublicKey};

/// The power is cut when it is dropped.
struct Board {
    process: Child,
    console: Receiver<String>,
}

impl Board {
    fn start(conf: &Path, store: &Path) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_template"))
            .args([conf, store])
            .env("POST_URL", format!("http://{GATEWAY}/uptime"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let (line, console) = channel();
        thread::spawn(move || lines.map_while(Result::ok).try_for_each(|text| line.send(text)));
        Self { process, console }
    }

    /// What follows `start` in a line of the console.
    fn until(&self, start: &str) -> String {
        loop {
            let line = self.console.recv_timeout(Duration::from_secs(30));
            let line = line.unwrap_or_else(|error| panic!("no `{start}`: {error}"));
            if let Some(rest) = line.strip_prefix(start) {
                return rest.to_owned();
            }
        }
    }

    fn complaint(mut self) -> String {
        assert!(!self.process.wait().unwrap().success());
        std::io::read_to_string(self.process.stderr.take().unwrap()).unwrap()
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs a gateway with a server behind it, for ever. It tells its port and key, and is told of
/// its peers.
fn start_gateway(server: SocketAddr) -> (u16, PublicKey, async_channel::Sender<PublicKey>) {
    let (told, tell) = channel();
    let (introduce, introduced) = async_channel::unbounded::<PublicKey>();
    thread::spawn(move || {
        let Tunnel { outside, interface, handle, mut runner, .. } = Tunnel::new().unwrap();
        let config = Config::ipv4_static(StaticConfigV4 {
            address: Ipv4Cidr::new(GATEWAY, 24),
            gateway: None,
            dns_servers: Default::default(),
        });
        let sockets = Box::leak(Box::new(StackResources::<24>::new()));
        let (stack, mut net) = embassy_net::new(interface, config, sockets, 1);
        let executor = LocalExecutor::new();
        executor.spawn(async move { runner.run().await }).detach();
        executor.spawn(async move { net.run().await }).detach();
        serve(&executor, stack, Service::Tcp { port: 80, server }).unwrap();
        told.send((outside.port(), handle.public_key().unwrap())).unwrap();
        async_io::block_on(executor.run(async {
            while let Ok(public_key) = introduced.recv().await {
                let peer = Peer {
                    public_key: &public_key,
                    preshared_key: &PresharedKey::NONE,
                    endpoint: None,
                    allowed_ips: &["10.77.0.2/32".parse().unwrap()],
                    persistent_keepalive: 0,
                };
                handle.set_peer(&peer).unwrap();
            }
        }));
    });
    let (port, key) = tell.recv().unwrap();
    (port, key, introduce)
}

/// The text of a board whose key is its own.
fn text(gateway: &str, port: u16) -> String {
    format!(
        "[Interface]\nPrivateKey = AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\
         Address = 10.77.0.2/24\n\
         [Peer]\nPublicKey = {gateway}\nEndpoint = 127.0.0.1:{port}\n\
         AllowedIPs = 10.77.0.1/32\nPersistentKeepalive = 25\n"
    )
}

#[test]
fn a_board_posts_and_posts_again_after_a_power_cut() {
    let server = Server::http((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = server.server_addr().to_ip().unwrap();
    thread::spawn(move || {
        for request in server.incoming_requests() {
            request.respond(Response::from_string("thanks")).unwrap();
        }
    });
    let (port, key, introduce) = start_gateway(address);
    let dir = tempfile::tempdir().unwrap();
    let (conf, store) = (dir.path().join("wg0.conf"), dir.path().join("flash"));
    fs::write(&conf, text(&key.to_string(), port)).unwrap();

    let board = Board::start(&conf, &store);
    let own_key = board.until("our public key is ");
    introduce.send_blocking(own_key.parse().unwrap()).unwrap();
    board.until("posted: 200");
    drop(board);

    let board = Board::start(&conf, &store);
    assert_eq!(board.until("our public key is "), own_key, "it was kept");
    board.until("SessionUp");
    board.until("posted: 200");
}

#[test]
fn what_is_wrong_is_told_in_a_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let (conf, store) = (dir.path().join("wg0.conf"), dir.path().join("flash"));
    fs::write(&conf, "[Interface]\nAddress = here\n").unwrap();
    let complaint = Board::start(&conf, &store).complaint();
    assert!(complaint.contains("the configuration: line 2, column"), "{complaint}");

    let whole = text("xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=", 1);
    fs::write(&conf, whole.replace("Address = 10.77.0.2/24\n", "")).unwrap();
    let complaint = Board::start(&conf, &store).complaint();
    assert!(complaint.contains("no Address"), "{complaint}");

    fs::write(&conf, whole.replace("[Peer]", "MTU = 9000\n[Peer]")).unwrap();
    let complaint = Board::start(&conf, &store).complaint();
    assert!(complaint.contains("no room for packets of 9000 bytes"), "{complaint}");

    // A file is where the flash should be.
    fs::write(&conf, whole).unwrap();
    let complaint = Board::start(&conf, &conf).complaint();
    assert!(complaint.contains("wg0.conf"), "{complaint}");
}
