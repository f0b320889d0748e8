//! The outer side of a tunnel: UDP sockets for IPv4 and IPv6 on one port.
//!
//! Datagrams come with their congestion mark and the address of ours that they were sent to,
//! and leave with a traffic class and from a given address. The kernel joins datagrams of one
//! sender into one (GRO) and cuts one up into many (GSO) where it can.

mod control;
mod outbox;

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, SockaddrStorage, bind,
    recvmsg, setsockopt, socket, sockopt,
};
use socket2::{MsgHdr, SockRef};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use wg_core::{Ecn, Endpoint, Source};

use control::Control;
pub(crate) use outbox::{Outbox, Train};

/// Bytes that each socket may hold for us in each direction, where the system lets us.
const SOCKET_BUFFER: usize = 4 << 20;
/// How long a full socket is waited for before a datagram is dropped.
const PATIENCE: core::time::Duration = core::time::Duration::from_millis(100);

/// The two sockets. One is missing where the system does not have its family.
#[derive(Debug)]
pub(crate) struct Underlay {
    v4: Option<UdpSocket>,
    v6: Option<UdpSocket>,
    port: u16,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Family {
    V4,
    V6,
}

/// Whether datagrams left from the address that was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Left {
    FromThere,
    /// That address is not ours any more, or no way leads from there.
    FromElsewhere,
}

/// Datagrams of one sender, as many as the kernel joins into one.
#[derive(Debug)]
pub(crate) struct Inbox {
    room: Vec<u8>,
    /// Room for what comes with them.
    control: Vec<u8>,
    source: Source,
    len: usize,
    /// The length of each datagram but the last.
    segment: usize,
}

impl Inbox {
    pub(crate) fn new() -> Self {
        let control = nix::cmsg_space!(libc::in_pktinfo, libc::in6_pktinfo, i32, i32);
        let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let source = Source { remote: nowhere, local: None, ecn: Ecn::NotCapable };
        Self { room: vec![0; 1 << 16], control, source, len: 0, segment: 1 }
    }

    /// Who sent them.
    pub(crate) fn source(&self) -> Source {
        self.source
    }

    /// Bytes of all of them.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// One after the other. An empty datagram is nothing to anybody.
    pub(crate) fn datagrams(&mut self) -> core::slice::ChunksMut<'_, u8> {
        self.room.get_mut(..self.len).unwrap_or_default().chunks_mut(self.segment.max(1))
    }
}

impl Underlay {
    /// Binds both sockets to `port`, or to a free one when it is 0, and sets `fw_mark` on them
    /// when it is not 0.
    pub(crate) fn bind(port: u16, fw_mark: u32) -> io::Result<Self> {
        // A port that is free in one family may be taken in the other.
        const TRIES: u32 = 20;
        let mut tries_left = if port == 0 { TRIES } else { 1 };
        loop {
            tries_left -= 1;
            match Self::bind_once(port, fw_mark) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries_left > 0 => {}
                result => return result,
            }
        }
    }

    fn bind_once(port: u16, fw_mark: u32) -> io::Result<Self> {
        let v4 = unless_missing(open(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)), fw_mark))?;
        let port = match &v4 {
            Some(socket) => socket.local_addr()?.port(),
            None => port,
        };
        let v6 = unless_missing(open(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)), fw_mark))?;
        let port = match &v6 {
            Some(socket) => socket.local_addr()?.port(),
            None => port,
        };
        if v4.is_none() && v6.is_none() {
            return Err(Errno::EAFNOSUPPORT.into());
        }
        Ok(Self { v4, v6, port })
    }

    /// No sockets; `port` is the one to open them on later.
    pub(crate) fn closed(port: u16) -> Self {
        Self { v4: None, v6: None, port }
    }

    /// Whether there are sockets.
    pub(crate) fn is_open(&self) -> bool {
        self.v4.is_some() || self.v6.is_some()
    }

    /// Marks what is sent from now on, in both families or in none; 0 is no mark.
    pub(crate) fn set_mark(&self, fw_mark: u32, before: u32) -> io::Result<()> {
        let mut sockets = [&self.v4, &self.v6].into_iter().flatten();
        let marked = sockets.try_for_each(|socket| setsockopt(socket, sockopt::Mark, &fw_mark));
        if marked.is_err() {
            for socket in [&self.v4, &self.v6].into_iter().flatten() {
                let _ = setsockopt(socket, sockopt::Mark, &before);
            }
        }
        Ok(marked?)
    }

    /// The port of both sockets.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Waits until a socket may have a datagram, and says which. Cancel safe.
    pub(crate) async fn readable(&self) -> io::Result<Family> {
        tokio::select! {
            ready = readable(self.v4.as_ref()) => ready.map(|()| Family::V4),
            ready = readable(self.v6.as_ref()) => ready.map(|()| Family::V6),
        }
    }

    /// Takes what has come; false when nothing has.
    pub(crate) fn receive(&self, family: Family, inbox: &mut Inbox) -> io::Result<bool> {
        let socket = match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        };
        let Some(socket) = socket else { return Ok(false) };
        let Inbox { room, control, .. } = inbox;
        match socket.try_io(Interest::READABLE, || receive_from(socket, room, control)) {
            Ok((source, len, segment)) => {
                (inbox.source, inbox.len, inbox.segment) = (source, len, segment);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Sends a train of datagrams, in one call where the kernel can cut it up, else in many.
    /// Says from where they went.
    ///
    /// # Errors
    /// What the system says of the last of them that could not be sent.
    pub(crate) async fn send(&self, train: &Train<'_>) -> io::Result<Left> {
        let all = self.send_as(train, train.datagrams, train.segment).await;
        if train.datagrams.len() <= train.segment || all.is_ok() {
            return all;
        }
        // No segmentation on this path: its MTU is too small, or the driver cannot.
        let mut result = Ok(Left::FromThere);
        for datagram in train.datagrams.chunks(train.segment) {
            match self.send_as(train, datagram, train.segment).await {
                Ok(Left::FromThere) => {}
                other => result = other,
            }
        }
        result
    }

    async fn send_as(&self, train: &Train<'_>, bytes: &[u8], segment: usize) -> io::Result<Left> {
        let socket = match train.to.remote {
            SocketAddr::V4(_) => self.v4.as_ref(),
            SocketAddr::V6(_) => self.v6.as_ref(),
        };
        let socket = socket.ok_or(Errno::EAFNOSUPPORT)?;
        let mut to = train.to;
        let mut left = Left::FromThere;
        loop {
            let sent = socket.try_io(Interest::WRITABLE, || {
                send_to(socket, to, train.traffic_class, bytes, segment)
            });
            match sent {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // Waiting slows down whoever sends through the tunnel, as it should.
                    let waited = tokio::time::timeout(PATIENCE, socket.writable()).await;
                    waited.map_err(|_| io::Error::from(io::ErrorKind::WouldBlock))??;
                }
                // The address may not be ours any more.
                Err(_) if to.local.is_some() => {
                    to = Endpoint { local: None, ..to };
                    left = Left::FromElsewhere;
                }
                result => return result.map(|()| left),
            }
        }
    }
}

async fn readable(socket: Option<&UdpSocket>) -> io::Result<()> {
    match socket {
        Some(socket) => socket.readable().await,
        None => core::future::pending().await,
    }
}

fn unless_missing(socket: io::Result<UdpSocket>) -> io::Result<Option<UdpSocket>> {
    match socket {
        Ok(socket) => Ok(Some(socket)),
        Err(error) => match error.raw_os_error().map(Errno::from_raw) {
            // IPv6 switched off at boot, or on all interfaces.
            Some(Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL) => Ok(None),
            _ => Err(error),
        },
    }
}

fn open(address: SocketAddr, fw_mark: u32) -> io::Result<UdpSocket> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket: OwnedFd = socket(family, SockType::Datagram, flags, None)?;
    if address.is_ipv4() {
        setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
        setsockopt(&socket, sockopt::IpRecvTos, &true)?;
    } else {
        setsockopt(&socket, sockopt::Ipv6V6Only, &true)?;
        setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        setsockopt(&socket, sockopt::Ipv6RecvTClass, &true)?;
    }
    if fw_mark != 0 {
        setsockopt(&socket, sockopt::Mark, &fw_mark)?;
    }
    // What follows makes it faster where it works.
    let _ = setsockopt(&socket, sockopt::UdpGroSegment, &true);
    if setsockopt(&socket, sockopt::RcvBufForce, &SOCKET_BUFFER).is_err() {
        let _ = setsockopt(&socket, sockopt::RcvBuf, &SOCKET_BUFFER);
    }
    if setsockopt(&socket, sockopt::SndBufForce, &SOCKET_BUFFER).is_err() {
        let _ = setsockopt(&socket, sockopt::SndBuf, &SOCKET_BUFFER);
    }
    bind(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
    UdpSocket::from_std(socket.into())
}

/// Receives the datagrams of one sender: where from, how many bytes, and how many in each.
fn receive_from(
    socket: &UdpSocket,
    datagrams: &mut [u8],
    control: &mut [u8],
) -> io::Result<(Source, usize, usize)> {
    let mut parts = [IoSliceMut::new(datagrams)];
    let message = recvmsg::<SockaddrStorage>(
        socket.as_raw_fd(),
        &mut parts,
        Some(control),
        MsgFlags::empty(),
    )?;
    let mut local = None;
    let mut ecn = Ecn::NotCapable;
    let mut segment = message.bytes;
    for control in message.cmsgs()? {
        match control {
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                local = Some(IpAddr::from(info.ipi_spec_dst.s_addr.to_ne_bytes()));
            }
            ControlMessageOwned::Ipv6PacketInfo(info) => {
                local = Some(IpAddr::from(info.ipi6_addr.s6_addr));
            }
            ControlMessageOwned::Ipv4Tos(class) => ecn = Ecn::from_traffic_class(class),
            ControlMessageOwned::Ipv6TClass(class) => {
                ecn = Ecn::from_traffic_class(class.to_ne_bytes()[LEAST_BYTE]);
            }
            ControlMessageOwned::UdpGroSegments(len) => {
                segment = usize::try_from(len).unwrap_or(segment);
            }
            _ => {}
        }
    }
    let remote = message.address.and_then(|address| {
        let v4 = address.as_sockaddr_in().map(|at| SocketAddr::V4(SocketAddrV4::from(*at)));
        v4.or_else(|| address.as_sockaddr_in6().map(|at| SocketAddrV6::from(*at).into()))
    });
    let remote = remote.ok_or(Errno::EAFNOSUPPORT)?;
    Ok((Source { remote, local, ecn }, message.bytes, segment))
}

/// Where the least significant byte of a number lies.
const LEAST_BYTE: usize = if cfg!(target_endian = "little") { 0 } else { 3 };

fn send_to(
    socket: &UdpSocket,
    to: Endpoint,
    traffic_class: u8,
    bytes: &[u8],
    segment: usize,
) -> io::Result<()> {
    let mut control = Control::new();
    match to.remote {
        // A byte, of which the system also takes an integer.
        SocketAddr::V4(_) => control.push(libc::IPPROTO_IP, libc::IP_TOS, &[traffic_class]),
        SocketAddr::V6(_) => {
            let class = i32::from(traffic_class).to_ne_bytes();
            control.push(libc::IPPROTO_IPV6, libc::IPV6_TCLASS, &class);
        }
    }
    match to.local {
        Some(IpAddr::V4(local)) => {
            // The interface's number, our address, and another one that only counts on receipt.
            let mut info = [0; size_of::<libc::in_pktinfo>()];
            info[4..8].copy_from_slice(&local.octets());
            control.push(libc::IPPROTO_IP, libc::IP_PKTINFO, &info);
        }
        Some(IpAddr::V6(local)) => {
            let mut info = [0; size_of::<libc::in6_pktinfo>()];
            info[..16].copy_from_slice(&local.octets());
            control.push(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info);
        }
        None => {}
    }
    if bytes.len() > segment {
        // The sum of all headers is no part of the limit, and no datagram of ours is longer.
        let segment = u16::try_from(segment).map_err(|_| Errno::EMSGSIZE)?;
        control.push(libc::SOL_UDP, libc::UDP_SEGMENT, &segment.to_ne_bytes());
    }
    let (to, parts) = (to.remote.into(), [IoSlice::new(bytes)]);
    let message = MsgHdr::new().with_addr(&to).with_buffers(&parts).with_control(control.bytes());
    SockRef::from(socket).sendmsg(&message, 0).map(drop)
}

#[cfg(test)]
mod tests;
