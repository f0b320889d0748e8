//! That a packet in a session takes nothing from the heap: not in the tunnel, and not at the
//! interface, until packets for the host come together. Then `tun-rs` takes a piece for each that
//! it tries to join to others.

use std::io;
use std::net::SocketAddr;

use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use wg_tokio::{Batch, Config, HEAD_ROOM, Packets, PeerConfig, StampClock, Tun, Tunnel};

use crate::{isolated, key, sh};

const PAYLOAD: usize = 1000;

/// A host that answers each packet with one of its own.
struct Answerer {
    answer: Vec<u8>,
    /// What it owes.
    owed: mpsc::Receiver<()>,
    owe: mpsc::Sender<()>,
}

impl Answerer {
    fn new() -> Self {
        let length = u16::try_from(28 + PAYLOAD).unwrap().to_be_bytes();
        let mut answer = vec![0x45, 0, length[0], length[1], 0, 0, 0x40, 0, 64, 17, 0, 0];
        answer.extend([10, 9, 0, 2, 10, 9, 0, 1]);
        let words = answer.chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1]));
        let sum = words.sum::<u32>();
        let checksum = !((sum & 0xffff) + (sum >> 16)) as u16;
        answer[10..12].copy_from_slice(&checksum.to_be_bytes());
        // From port 7 to port 9, without a checksum.
        let length = u16::try_from(8 + PAYLOAD).unwrap().to_be_bytes();
        answer.extend([0, 7, 0, 9, length[0], length[1], 0, 0]);
        answer.resize(28 + PAYLOAD, 7);
        let (owe, owed) = mpsc::channel(64);
        Self { answer, owed, owe }
    }
}

impl Packets for Answerer {
    async fn receive(&mut self, batch: &mut Batch) -> io::Result<()> {
        self.owed.recv().await.ok_or(io::ErrorKind::BrokenPipe)?;
        batch.push(&self.answer);
        Ok(())
    }

    fn try_receive(&mut self, batch: &mut Batch) -> io::Result<()> {
        if !batch.is_full() && self.owed.try_recv().is_ok() {
            batch.push(&self.answer);
        }
        Ok(())
    }

    async fn send(&mut self, packets: &mut [Vec<u8>]) -> io::Result<()> {
        for packet in packets {
            assert_eq!(packet.len(), HEAD_ROOM + 28 + PAYLOAD);
            self.owe.try_send(()).map_err(io::Error::other)?;
        }
        Ok(())
    }
}

/// Sends as many packets at a time as `window`, and waits for as many.
async fn exchange(socket: &UdpSocket, there: SocketAddr, rounds: usize, window: usize) {
    let mut buffer = [1; PAYLOAD];
    for _ in 0..rounds {
        for _ in 0..window {
            socket.send_to(&buffer, there).await.unwrap();
        }
        for _ in 0..window {
            assert_eq!(socket.recv_from(&mut buffer).await.unwrap().0, PAYLOAD);
        }
    }
}

#[test]
fn a_packet_in_a_session_allocates_nothing() {
    isolated("allocations::a_packet_in_a_session_allocates_nothing", || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (socket, there) = runtime.block_on(async {
            let (ours, theirs) = (key(), key());
            let peer = |key, at: Option<SocketAddr>, inside: &str| PeerConfig {
                endpoint: at,
                allowed_ips: vec![inside.parse().unwrap()],
                ..PeerConfig::new(key)
            };
            let config = Config {
                private_key: Some(theirs.clone()),
                peers: vec![peer(ours.public_key(), None, "10.9.0.1/32")],
                ..Config::default()
            };
            let (their_handle, tunnel) =
                Tunnel::new(&config, Answerer::new(), StampClock::system()).unwrap();
            let at = SocketAddr::from(([127, 0, 0, 1], tunnel.listen_port()));
            tokio::spawn(tunnel.run());

            let tun = Tun::create("wg0", 1420).unwrap();
            tun.up().unwrap();
            sh("ip addr add 10.9.0.1/24 dev wg0");
            let config = Config {
                private_key: Some(ours),
                peers: vec![peer(theirs.public_key(), Some(at), "10.9.0.2/32")],
                ..Config::default()
            };
            let (handle, tunnel) = Tunnel::new(&config, tun, StampClock::system()).unwrap();
            tokio::spawn(tunnel.run());
            // They run for as long as this process.
            core::mem::forget((handle, their_handle));
            let socket = UdpSocket::bind("10.9.0.1:9").await.unwrap();
            (socket, SocketAddr::from(([10, 9, 0, 2], 7)))
        });
        for window in [1, 16] {
            // Buffers grow to what is needed.
            runtime.block_on(exchange(&socket, there, 50, window));
            let counted = allocation_counter::measure(|| {
                runtime.block_on(exchange(&socket, there, 200, window));
            });
            // Those that came together are the answers to this window.
            let joined = if window == 1 { 0 } else { 200 * window as u64 };
            assert!(counted.count_total <= joined, "{counted:?} in 200 rounds of {window}");
        }
    });
}
