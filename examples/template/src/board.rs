//! This computer as a board: the file to replace.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use embedded_nal_async::UdpStack;
use getrandom::SysRng;
use std_embedded_nal_async::Stack;
use template::Board;
use uptime::Sockets;
use wg_nal::{CancelSafe, FileStore};

type Udp = CancelSafe<<Stack as UdpStack>::MultiplyBound>;

/// Brings up everything outside the tunnel. On a board: clocks, radio, flash.
pub(crate) async fn start(
    listen_port: u16,
    store: PathBuf,
) -> Result<Board<Udp, Sockets, SysRng, FileStore>> {
    let local = SocketAddr::from((Ipv4Addr::UNSPECIFIED, listen_port));
    let socket = Stack::default().bind_multiple(local).await;
    let socket = socket.with_context(|| format!("cannot bind UDP port {listen_port}"))?;
    Ok(Board {
        // A receive that is dropped leaves the datagram in the operating system's queue.
        udp: CancelSafe::new(socket, local),
        dns: Sockets::new(Duration::from_secs(5)),
        // Elsewhere: on after whatever makes it random, and never a timer's low bits.
        random: SysRng,
        // Elsewhere: `FlashStore::new(flash, two_pages_or_more)`.
        store: FileStore::new(store),
        // As a board without a battery. The store makes up for it.
        unix_time: || None,
        print: |text| print!("{text}"),
    })
}
