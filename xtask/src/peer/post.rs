//! A UDP stack of one socket, by the traits of embedded-nal and of embedded-nal-async, that
//! holds datagrams until they are carried to an underlay and from it.

use core::cell::{Cell, RefCell};
use core::convert::Infallible;
use core::future::poll_fn;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::task::{Poll, Waker};
use std::collections::VecDeque;
use std::rc::Rc;

use anyhow::Result;
use embedded_nal_async::UnconnectedUdp;
use wg_nal::embedded_nal::{UdpClientStack, UdpFullStack, nb};

use super::Underlay;
use crate::lan::Datagram;

/// The socket. Copies of it are the same socket.
#[derive(Clone)]
pub(super) struct Post {
    /// Where datagrams leave from.
    local: Rc<Cell<SocketAddr>>,
    incoming: Rc<RefCell<VecDeque<Datagram>>>,
    outgoing: Rc<RefCell<VecDeque<Datagram>>>,
    receiver: Rc<RefCell<Option<Waker>>>,
}

impl Post {
    pub(super) fn new(local: SocketAddr) -> Self {
        Self {
            local: Rc::new(Cell::new(local)),
            incoming: Rc::default(),
            outgoing: Rc::default(),
            receiver: Rc::default(),
        }
    }

    pub(super) fn move_to(&self, local: SocketAddr) {
        self.local.set(local);
    }

    /// Any address of the family and the port: what the socket was bound to.
    pub(super) fn bound_to(&self) -> SocketAddr {
        let local = self.local.get();
        let any = match local {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        SocketAddr::new(any, local.port())
    }

    /// A datagram has come.
    pub(super) fn arrive(&self, datagram: Datagram) {
        self.incoming.borrow_mut().push_back(datagram);
        if let Some(waker) = self.receiver.take() {
            waker.wake();
        }
    }

    /// Sends what was given to the socket.
    pub(super) fn carry_away(&self, underlay: &mut dyn Underlay) -> Result<()> {
        self.outgoing.borrow_mut().drain(..).try_for_each(|datagram| underlay.send(&datagram))
    }

    fn leave(&self, from: SocketAddr, to: SocketAddr, payload: &[u8]) {
        // Neither trait can mark packets.
        let datagram = Datagram { from, to, traffic_class: 0, payload: payload.to_vec() };
        self.outgoing.borrow_mut().push_back(datagram);
    }

    /// The oldest datagram that came: its length, and between whom.
    fn read(&self, buffer: &mut [u8]) -> Option<(usize, SocketAddr, SocketAddr)> {
        let Datagram { from, to, payload, .. } = self.incoming.borrow_mut().pop_front()?;
        for (byte, came) in buffer.iter_mut().zip(&payload) {
            *byte = *came;
        }
        Some((payload.len(), from, to))
    }
}

impl UdpClientStack for Post {
    type UdpSocket = ();
    type Error = &'static str;

    fn socket(&mut self) -> Result<(), &'static str> {
        Ok(())
    }

    fn connect(&mut self, (): &mut (), _: SocketAddr) -> Result<(), &'static str> {
        Err("the socket of a tunnel is for all peers")
    }

    fn send(&mut self, (): &mut (), _: &[u8]) -> nb::Result<(), &'static str> {
        Err(nb::Error::Other("the socket of a tunnel is not connected"))
    }

    fn receive(
        &mut self,
        (): &mut (),
        buffer: &mut [u8],
    ) -> nb::Result<(usize, SocketAddr), &'static str> {
        self.read(buffer).map(|(len, from, _)| (len, from)).ok_or(nb::Error::WouldBlock)
    }

    fn close(&mut self, (): ()) -> Result<(), &'static str> {
        Ok(())
    }
}

impl UdpFullStack for Post {
    fn bind(&mut self, (): &mut (), port: u16) -> Result<(), &'static str> {
        self.local.set(SocketAddr::new(self.local.get().ip(), port));
        Ok(())
    }

    fn send_to(
        &mut self,
        (): &mut (),
        to: SocketAddr,
        payload: &[u8],
    ) -> nb::Result<(), &'static str> {
        self.leave(self.local.get(), to, payload);
        Ok(())
    }
}

impl UnconnectedUdp for Post {
    type Error = Infallible;

    async fn send(
        &mut self,
        local: SocketAddr,
        remote: SocketAddr,
        payload: &[u8],
    ) -> Result<(), Infallible> {
        // The socket has one port, whatever it was bound to at first.
        let mut from = self.local.get();
        if !local.ip().is_unspecified() {
            from.set_ip(local.ip());
        }
        self.leave(from, remote, payload);
        Ok(())
    }

    async fn receive_into(
        &mut self,
        buffer: &mut [u8],
    ) -> Result<(usize, SocketAddr, SocketAddr), Infallible> {
        poll_fn(|cx| match self.read(buffer) {
            Some((len, from, to)) => Poll::Ready(Ok((len, to, from))),
            None => {
                self.receiver.replace(Some(cx.waker().clone()));
                Poll::Pending
            }
        })
        .await
    }
}
