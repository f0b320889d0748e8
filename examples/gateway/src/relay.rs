//! The gateway's services: ports inside the tunnel that lead to servers outside, and back.

use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};

use anyhow::{Context, Result};
use async_executor::LocalExecutor;
use async_io::Async;
use embassy_futures::select::select;
use embassy_net::Stack;
use embassy_net::tcp::TcpSocket;
use embassy_net::udp::{self, PacketMetadata};
use embassy_time::{Duration, with_timeout};
use embedded_io_async::Write as _;
use futures_lite::{AsyncReadExt as _, AsyncWriteExt as _, FutureExt as _};

use crate::BOARD;

/// How many connections a service carries at the same time. A browser opens six.
const CONNECTIONS: usize = 6;
/// How long a server may take over a datagram, and a closing over its last packets.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the gateway offers.
#[derive(Debug)]
pub enum Service {
    /// A TCP port of the gateway, as the board sees it, that leads to a server.
    Tcp {
        /// The gateway's port.
        port: u16,
        /// The server.
        server: SocketAddr,
    },
    /// A UDP port of the gateway, for questions that have one answer.
    Udp {
        /// The gateway's port.
        port: u16,
        /// The server.
        server: SocketAddr,
    },
    /// The way into the tunnel: who connects to `listener` reaches a TCP port of the board.
    Board {
        /// Where the outside connects.
        listener: TcpListener,
        /// The board's port.
        port: u16,
    },
}

/// Serves on `stack`, in tasks of `executor`.
///
/// # Errors
/// The operating system's.
pub fn serve(executor: &LocalExecutor<'_>, stack: Stack<'static>, service: Service) -> Result<()> {
    match service {
        Service::Tcp { port, server } => {
            for _ in 0..CONNECTIONS {
                executor.spawn(serve_tcp(stack, port, server)).detach();
            }
        }
        Service::Udp { port, server } => {
            let outside = Async::<UdpSocket>::bind((Ipv4Addr::LOCALHOST, 0))?;
            outside.get_ref().connect(server).with_context(|| format!("no way to {server}"))?;
            executor.spawn(serve_udp(stack, port, outside)).detach();
        }
        Service::Board { listener, port } => {
            for _ in 0..CONNECTIONS {
                let listener = Async::new(listener.try_clone()?)?;
                executor.spawn(serve_board(stack, listener, port)).detach();
            }
        }
    }
    Ok(())
}

async fn serve_tcp(stack: Stack<'static>, port: u16, server: SocketAddr) {
    let (mut received, mut sent) = (vec![0; 4096], vec![0; 4096]);
    loop {
        let mut inside = TcpSocket::new(stack, &mut received, &mut sent);
        if inside.accept(port).await.is_err() {
            continue;
        }
        match Async::<TcpStream>::connect(server).await {
            Ok(outside) => carry(&mut inside, &outside).await,
            Err(error) => {
                eprintln!("gateway: nobody serves {server}: {error}");
                inside.abort();
            }
        }
        close(&mut inside).await;
    }
}

async fn serve_board(stack: Stack<'static>, listener: Async<TcpListener>, port: u16) {
    let (mut received, mut sent) = (vec![0; 4096], vec![0; 4096]);
    loop {
        let Ok((outside, _)) = listener.accept().await else { continue };
        let mut inside = TcpSocket::new(stack, &mut received, &mut sent);
        match inside.connect((BOARD, port)).await {
            Ok(()) => carry(&mut inside, &outside).await,
            Err(error) => eprintln!("gateway: the board does not serve port {port}: {error:?}"),
        }
        close(&mut inside).await;
    }
}

/// Carries bytes both ways until the server's side, or an error, ends it.
async fn carry(inside: &mut TcpSocket<'_>, outside: &Async<TcpStream>) {
    let (mut from_inside, mut to_inside) = inside.split();
    let outwards = async {
        let mut buffer = [0; 2048];
        loop {
            match from_inside.read(&mut buffer).await {
                Ok(len) if len > 0 => {
                    let mut outside = outside;
                    if outside.write_all(buffer.get(..len).unwrap_or_default()).await.is_err() {
                        return;
                    }
                }
                // The other end has said everything. It may still listen.
                Ok(_) => {
                    let _ = outside.get_ref().shutdown(Shutdown::Write);
                    core::future::pending::<()>().await;
                }
                Err(_) => return,
            }
        }
    };
    let inwards = async {
        let mut buffer = [0; 2048];
        let mut outside = outside;
        while let Ok(len @ 1..) = outside.read(&mut buffer).await {
            if to_inside.write_all(buffer.get(..len).unwrap_or_default()).await.is_err() {
                return;
            }
        }
    };
    select(outwards, inwards).await;
}

async fn close(inside: &mut TcpSocket<'_>) {
    inside.close();
    let _ = with_timeout(PATIENCE, inside.flush()).await;
    inside.abort();
    let _ = with_timeout(PATIENCE, inside.flush()).await;
}

async fn serve_udp(stack: Stack<'static>, port: u16, outside: Async<UdpSocket>) {
    let (mut received, mut sent) = (vec![0; 4096], vec![0; 4096]);
    let (mut from, mut to) = ([PacketMetadata::EMPTY; 4], [PacketMetadata::EMPTY; 4]);
    let mut inside = udp::UdpSocket::new(stack, &mut from, &mut received, &mut to, &mut sent);
    inside.bind(port).expect("a port of a fresh socket");
    let mut buffer = [0; 1500];
    loop {
        let Ok((len, asker)) = inside.recv_from(&mut buffer).await else { continue };
        match answer(&outside, &mut buffer, len).await {
            Ok(len) => {
                let _ = inside.send_to(buffer.get(..len).unwrap_or_default(), asker).await;
            }
            Err(error) => eprintln!("gateway: the server of UDP port {port}: {error}"),
        }
    }
}

async fn answer(outside: &Async<UdpSocket>, buffer: &mut [u8], len: usize) -> io::Result<usize> {
    outside.send(buffer.get(..len).unwrap_or_default()).await?;
    let late = async {
        embassy_time::Timer::after(PATIENCE).await;
        Err(io::ErrorKind::TimedOut.into())
    };
    outside.recv(buffer).or(late).await
}
