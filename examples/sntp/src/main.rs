//! A board asks for the time through a tunnel.
//!
//! The client is sntpc as it is. The server is behind the gateway, and its clock is years
//! ahead of this machine's: so the time that the board learns is the server's and no other.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::thread;

use anyhow::{Result, anyhow, ensure};
use embassy_net::udp::{PacketMetadata, UdpSocket as Socket};
use embassy_time::{Duration, Instant};
use gateway::{Board, GATEWAY, Service};
use sntpc::{NtpContext, NtpTimestampGenerator};
use sntpc_net_embassy::UdpSocketWrapper;

const PORT: u16 = 123;
/// What the server's clock says: the 18th of May 2033, 3:33:20.
const SERVER_TIME: u32 = 2_000_000_000;
/// NTP counts from 1900.
const SINCE_1900: u32 = 2_208_988_800;

fn main() -> Result<()> {
    let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = server.local_addr()?;
    thread::spawn(move || serve(&server));
    let services = vec![Service::Udp { port: PORT, server: address }];
    gateway::run(services, Duration::from_secs(30), ask)
}

/// What runs on the board.
async fn ask(board: Board) -> Result<()> {
    let (mut received, mut sent) = ([0; 256], [0; 256]);
    let (mut from, mut to) = ([PacketMetadata::EMPTY; 2], [PacketMetadata::EMPTY; 2]);
    let mut socket = Socket::new(board.stack, &mut from, &mut received, &mut to, &mut sent);
    socket.bind(50_123).map_err(|error| anyhow!("no port: {error:?}"))?;
    let socket = UdpSocketWrapper::from(socket);

    let server = SocketAddr::from((GATEWAY, PORT));
    let asked = Instant::now();
    let answer = sntpc::get_time(server, &socket, NtpContext::new(Uptime(Instant::now())))
        .await
        .map_err(|error| anyhow!("no time: {error:?}"))?;
    println!("time     {} s since 1970, after {} ms", answer.sec(), asked.elapsed().as_millis());
    let ahead = answer.sec().abs_diff(SERVER_TIME.into());
    ensure!(ahead <= 1, "the server says {SERVER_TIME}, {ahead} s away");
    println!("{}", board.summary());
    Ok(())
}

/// The clock of a board that was never told the time: it starts at 1970.
#[derive(Clone, Copy)]
struct Uptime(Instant);

impl NtpTimestampGenerator for Uptime {
    fn init(&mut self) {
        self.0 = Instant::now();
    }

    fn timestamp_sec(&self) -> u64 {
        self.0.as_secs()
    }

    fn timestamp_subsec_micros(&self) -> u32 {
        (self.0.as_micros() % 1_000_000) as u32
    }
}

/// Answers as RFC 4330 says: mode 4, version 4, the question's time of transmission returned.
fn serve(socket: &UdpSocket) {
    let mut question = [0; 48];
    while let Ok((48, from)) = socket.recv_from(&mut question) {
        let now = u64::from(SERVER_TIME.wrapping_add(SINCE_1900)) << 32;
        let now = now.to_be_bytes();
        let [.., t0, t1, t2, t3, t4, t5, t6, t7] = question;
        let mut answer = [0; 48];
        answer[0] = 4 << 3 | 4;
        answer[1] = 1; // as near to a reference clock as can be
        answer[12..16].copy_from_slice(b"GPS\0");
        answer[16..24].copy_from_slice(&now);
        answer[24..32].copy_from_slice(&[t0, t1, t2, t3, t4, t5, t6, t7]);
        answer[32..40].copy_from_slice(&now);
        answer[40..48].copy_from_slice(&now);
        if socket.send_to(&answer, from).is_err() {
            return;
        }
    }
}
