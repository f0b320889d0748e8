//! What the hosts do: connections, and packets that are too long.

use core::net::{IpAddr, SocketAddr};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use anyhow::{Result, anyhow, ensure};
use embassy_futures::join::join;
use embassy_net::Stack;
use embassy_net::raw::{self, IpProtocol, IpVersion, RawSocket};
use embassy_net::tcp::TcpSocket;
use embassy_net::udp::{PacketMetadata, UdpSocket};
use embassy_time::Instant;
use embedded_io_async::Write as _;

use crate::forwarding::LAN_MTU;

/// Where the server listens.
pub(crate) const PORT: u16 = 7;
const ECHOED: usize = 200_000;

/// Sends more than one segment by TCP, and reads as much back.
pub(crate) async fn connect(here: Stack<'static>, there: IpAddr) -> Result<()> {
    let (mut received, mut sent) = (vec![0; 16_384], vec![0; 16_384]);
    let mut socket = TcpSocket::new(here, &mut received, &mut sent);
    let wrong = |error: &dyn core::fmt::Debug| anyhow!("TCP to {there}: {error:?}");
    let start = Instant::now();
    socket.connect((there, PORT)).await.map_err(|error| wrong(&error))?;
    let data: Vec<_> = (0..ECHOED).map(|at| (at % 251) as u8).collect();
    let mut back = vec![0; ECHOED];
    let (mut reader, mut writer) = socket.split();
    let read = embedded_io_async::Read::read_exact(&mut reader, &mut back);
    let (written, read) = join(writer.write_all(&data), read).await;
    written.map_err(|error| wrong(&error))?;
    read.map_err(|error| wrong(&error))?;
    ensure!(back == data, "the echo of {there} differs");
    let ms = start.elapsed().as_millis();
    println!("TCP      {ECHOED} bytes to {there} and back, in {ms} ms");
    Ok(())
}

/// Sends a packet that the LAN carries and the tunnel does not: the board says so.
pub(crate) async fn exceed(here: Stack<'static>, there: IpAddr) -> Result<()> {
    let (version, protocol, headers, mtu_at) = match there {
        IpAddr::V4(_) => (Some(IpVersion::Ipv4), Some(IpProtocol::Icmp), 28, 24),
        IpAddr::V6(_) => (Some(IpVersion::Ipv6), Some(IpProtocol::Icmpv6), 48, 44),
    };
    let (mut received, mut sent) = ([0; 4096], [0; 4096]);
    let (mut from, mut to) = ([raw::PacketMetadata::EMPTY; 2], [raw::PacketMetadata::EMPTY; 2]);
    let errors =
        RawSocket::new(here, version, protocol, &mut from, &mut received, &mut to, &mut sent);
    let (mut received, mut sent) = ([0; 4096], [0; 4096]);
    let (mut from, mut to) = ([PacketMetadata::EMPTY; 2], [PacketMetadata::EMPTY; 2]);
    let mut socket = UdpSocket::new(here, &mut from, &mut received, &mut to, &mut sent);
    socket.bind(9).map_err(|error| anyhow!("no port: {error:?}"))?;
    let long = [0; LAN_MTU];
    let to = SocketAddr::from((there, 9));
    let sent = socket.send_to(&long[headers..], to).await;
    sent.map_err(|error| anyhow!("UDP to {there}: {error:?}"))?;

    let mut answer = [0; 1500];
    let len = errors.recv(&mut answer).await.map_err(|error| anyhow!("no answer: {error:?}"))?;
    let mtu = u32::from_be_bytes(*answer[mtu_at..len].first_chunk().unwrap_or(&[0; 4]));
    println!("UDP      a packet of {LAN_MTU} bytes to {there}: the board says, at most {mtu}");
    ensure!(mtu == 1420, "the tunnel carries 1420");
    Ok(())
}

/// The server: says what it hears.
pub(crate) fn echo(server: &TcpListener) {
    for stream in server.incoming().flatten() {
        thread::spawn(move || {
            let (mut reader, mut writer, mut buffer) = (&stream, &stream, [0; 4096]);
            while let Ok(len @ 1..) = reader.read(&mut buffer) {
                if writer.write_all(&buffer[..len]).is_err() {
                    return;
                }
            }
        });
    }
}
