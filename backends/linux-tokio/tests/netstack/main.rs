//! Hosts inside tunnels, two in this process, over the loopback interface.

#![cfg(feature = "netstack")]

mod names;
mod tcp;
mod udp;

use core::time::Duration;
use std::net::SocketAddr;

use wg_core::PrivateKey;
use wg_core::config::Config;
use wg_tokio::netstack::{Net, NetConfig};

const PATIENCE: Duration = Duration::from_secs(20);

/// A wg-quick file with a peer.
fn file(ours: &PrivateKey, addresses: &str, theirs: &PrivateKey, peer: &str) -> String {
    format!(
        "[Interface]\nPrivateKey = {}\nAddress = {addresses}\n[Peer]\nPublicKey = {}\n{peer}\n",
        ours.expose_base64().as_str(),
        theirs.public_key()
    )
}

fn config(file: &str) -> NetConfig {
    NetConfig::of(&Config::parse(file).unwrap())
}

fn key() -> PrivateKey {
    PrivateKey::generate(&mut wg_tokio::system_random().unwrap())
}

/// A client that knows where the server is, and the server, at 10.9.0.2 and fd09::2. The client
/// may send to all of 10.0.0.0/8, whose other addresses the server's host does not have.
async fn pair(change: impl FnOnce(&mut NetConfig)) -> (Net, Net) {
    let (ours, theirs) = (key(), key());
    let peer = "AllowedIPs = 10.9.0.1/32, fd09::1/128";
    let mut server = config(&file(&theirs, "10.9.0.2/24, fd09::2/64", &ours, peer));
    // Nobody else has it: this program has just had it.
    let free = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    server.tunnel.listen_port = free.port();
    let peer = format!("Endpoint = {free}\nAllowedIPs = 10.0.0.0/8, fd09::/64");
    let mut client = config(&file(&ours, "10.9.0.1/24, fd09::1/64", &theirs, &peer));
    client.dns_servers.push("10.9.0.2".parse().unwrap());
    change(&mut client);
    let server = Net::connect(server).await.unwrap();
    (Net::connect(client).await.unwrap(), server)
}

fn at(address: &str) -> SocketAddr {
    address.parse().unwrap()
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it comes to that")
}
