//! A board shows the state of its tunnel on a web page, which only the tunnel leads to.
//!
//! The server is picoserve as it is, on the stack in the tunnel. A relay of the gateway leads a
//! browser there. The page is served until this program's input ends: press Enter.

mod page;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use embassy_futures::join::join_array;
use embassy_futures::select::{Either, select};
use embassy_time::{Duration, Timer};
use gateway::{Board, Service};
use picoserve::response::chunked::ChunkedResponse;
use picoserve::routing::get;
use picoserve::{Config, Router, Server};
use wg_nal::wg_core::Event;

use crate::page::Page;

const PORT: u16 = 80;
/// Connections at the same time. A browser opens one more than it needs.
const SERVERS: usize = 3;

fn main() -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?;
    let services = vec![Service::Board { listener, port: PORT }];
    gateway::run(services, Duration::from_secs(3600), async |board| show(board, address).await)
}

/// What runs on the board, until the visitors are gone.
async fn show(board: Board, address: SocketAddr) -> Result<()> {
    board.tunnel.for_each_peer(|peer, _| board.tunnel.connect(peer));
    while !matches!(board.tunnel.event().await, Event::SessionUp(_)) {}
    knock(board.outside)?;

    let visitors = thread::spawn(move || visit(address));
    let gone = async {
        while !visitors.is_finished() {
            Timer::after_millis(20).await;
        }
    };
    match select(serve(board), gone).await {
        Either::First(()) => Err(anyhow!("the server ended")),
        Either::Second(()) => visitors.join().map_err(|_| anyhow!("a visitor panicked"))?,
    }
}

async fn serve(board: Board) {
    let app =
        Router::new().route("/", get(move || async move { ChunkedResponse::new(Page::of(board)) }));
    let config = Config::const_default();
    let mut buffers = [[[0; 2048]; 3]; SERVERS];
    let mut task = 0;
    let servers = buffers.each_mut().map(|[request, received, sent]| {
        task += 1;
        let server = Server::new(&app, &config, request);
        server.listen_and_serve(task, board.stack, PORT, received, sent)
    });
    join_array::<_, SERVERS>(servers).await;
}

/// Strangers send what is no WireGuard, and a handshake for somebody else's key: the page says
/// that they were refused, and why.
fn knock(board: SocketAddr) -> Result<()> {
    let stranger = UdpSocket::bind(("127.0.0.1", 0))?;
    for _ in 0..3 {
        stranger.send_to(b"GET / HTTP/1.1", board)?;
    }
    let mut initiation = [7; 148];
    initiation[..4].copy_from_slice(&[1, 0, 0, 0]);
    stranger.send_to(&initiation, board)?;
    Ok(())
}

/// Outside, behind the gateway: fetches the page once, and lets others do so until Enter.
fn visit(address: SocketAddr) -> Result<()> {
    // The page has to tell of the strangers, whom the board hears some time after they spoke.
    thread::sleep(core::time::Duration::from_millis(100));
    let mut page = String::new();
    let mut stream = TcpStream::connect(address).context("no way to the page")?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: board\r\nConnection: close\r\n\r\n")?;
    stream.read_to_string(&mut page)?;
    for expected in ["HTTP/1.1 200", "not a WireGuard message", "mac1 does not match", "</html>"] {
        ensure!(page.contains(expected), "the page lacks `{expected}`:\n{page}");
    }
    println!("the page has {} bytes, and tells of two strangers", page.len());
    println!("look at http://{address}/ and press Enter when you have seen enough");
    std::io::stdin().read_line(&mut String::new())?;
    Ok(())
}
