//! wg-nal, polled as firmware without an executor does, and run as a task.

use core::net::SocketAddr;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;

use anyhow::{Error, Result, bail, ensure};
use getrandom::{SysRng, rand_core::UnwrapErr};
use wg_core::{AllowedIp, Instant, PeerId, Refusal};
use wg_nal::{CancelSafe, Handle, Interface, LinkPolicy, Resources, Tunnel};

use super::post::Post;
use super::{Drive, FileClock, PeerConfig, Seen, SinceStart, Underlay};
use crate::lan::Inner;

/// A tunnel of wg-nal, and what works in it.
pub(super) struct Nal<W> {
    work: W,
    interface: Interface<'static>,
    handle: Handle<'static, SinceStart>,
    id: PeerId,
    post: Post,
}

/// Does what is due in a tunnel.
pub(super) trait Work {
    fn work(&mut self) -> Result<()>;
    fn deadline(&self) -> Option<Instant>;
}

/// The tunnel over embedded-nal, polled.
pub(super) struct Superloop {
    tunnel: Tunnel<'static, Post, UnwrapErr<SysRng>, FileClock>,
    time: SinceStart,
    deadline: Option<Instant>,
}

/// The runner over embedded-nal-async, in an executor of one task. As in every executor, the
/// task is polled when it was woken and at no other time.
pub(super) struct Task {
    run: Pin<Box<dyn Future<Output = ()>>>,
    woken: Arc<Woken>,
    time: SinceStart,
}

struct Woken(AtomicBool);

/// The memory of one tunnel: given back when the process ends, as each case has one.
fn resources() -> &'static mut Resources<'static, 1, 4> {
    Box::leak(Box::new(Resources::new()))
}

impl Nal<Superloop> {
    pub(super) fn superloop(
        config: &PeerConfig,
        clock: FileClock,
        time: SinceStart,
    ) -> Result<Self> {
        let post = Post::new(config.local);
        let (stack, port) = (post.clone(), config.local.port());
        let (interface, tunnel) =
            Tunnel::new(resources(), stack, port, UnwrapErr(SysRng), clock).map_err(Error::msg)?;
        let handle = tunnel.handle(time.clone());
        let work = Superloop { tunnel, time, deadline: None };
        Self::new(work, interface, handle, post, config)
    }
}

impl Nal<Task> {
    pub(super) fn task(config: &PeerConfig, clock: FileClock, time: SinceStart) -> Result<Self> {
        let post = Post::new(config.local);
        let underlay = CancelSafe::new(post.clone(), post.bound_to());
        let (interface, handle, mut runner) =
            wg_nal::new(resources(), underlay, UnwrapErr(SysRng), clock, time.clone());
        let run = Box::pin(async move { runner.run().await });
        let work = Task { run, woken: Arc::new(Woken(AtomicBool::new(true))), time };
        Self::new(work, interface, handle, post, config)
    }
}

impl<W: Work> Nal<W> {
    fn new(
        work: W,
        mut interface: Interface<'static>,
        handle: Handle<'static, SinceStart>,
        post: Post,
        config: &PeerConfig,
    ) -> Result<Self> {
        // The cases say who calls: no session is made before a packet asks for it.
        interface.set_link_policy(LinkPolicy::AlwaysUp);
        handle.set_private_key(Some(&config.private_key));
        let allowed_ips: Vec<AllowedIp> =
            config.allowed_ips.iter().map(|&address| address.into()).collect();
        let id = handle.set_peer(&wg_nal::Peer {
            public_key: &config.their_key,
            preshared_key: &config.preshared_key,
            endpoint: config.remote,
            allowed_ips: &allowed_ips,
            persistent_keepalive: 0,
        })?;
        Ok(Self { work, interface, handle, id, post })
    }

    /// Works, and moves datagrams out and packets in.
    fn turn(&mut self, underlay: &mut dyn Underlay, inner: &mut Inner) -> Result<()> {
        self.work.work()?;
        self.post.carry_away(underlay)?;
        while self.interface.try_receive(|packet| inner.deliver(packet)).is_some() {}
        Ok(())
    }
}

impl<W: Work> Drive for Nal<W> {
    /// A turn for each datagram and each packet: a tunnel has room for three each way.
    fn step(
        &mut self,
        underlay: &mut dyn Underlay,
        inner: &mut Inner,
        local: SocketAddr,
    ) -> Result<()> {
        self.post.move_to(local);
        self.turn(underlay, inner)?;
        while let Some(datagram) = underlay.receive()? {
            self.post.arrive(datagram);
            self.turn(underlay, inner)?;
        }
        inner.poll();
        while let Some(packet) = inner.next_packet() {
            ensure!(self.interface.try_send(&packet)?, "the last packet did not leave");
            self.turn(underlay, inner)?;
        }
        Ok(())
    }

    fn deadline(&mut self) -> Option<Instant> {
        self.work.deadline()
    }

    fn set_endpoint(&mut self, remote: SocketAddr) {
        self.handle.set_endpoint(self.id, remote);
    }

    fn set_persistent_keepalive(&mut self, seconds: u16) {
        self.handle.set_persistent_keepalive(self.id, seconds);
    }

    fn declare_load(&mut self) -> Result<()> {
        bail!("wg-nal leaves it to the engine when it is under load")
    }

    fn status(&self) -> Seen {
        self.handle.status(self.id).expect("this peer is never removed").into()
    }

    fn refusals(&self) -> Vec<(Refusal, u32)> {
        self.handle.refusals().iter().collect()
    }
}

impl Work for Superloop {
    fn work(&mut self) -> Result<()> {
        loop {
            let polled = self.tunnel.poll(self.time.now()).map_err(Error::msg)?;
            self.deadline = polled.deadline.map(|(at, _)| at);
            if !polled.more {
                return Ok(());
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.deadline
    }
}

impl Work for Task {
    fn work(&mut self) -> Result<()> {
        self.time.ring();
        let waker = self.woken.clone().into();
        while self.woken.0.swap(false, Ordering::Relaxed) {
            let polled = self.run.as_mut().poll(&mut Context::from_waker(&waker));
            ensure!(polled == Poll::Pending, "the runner stopped, and nobody had asked it to");
        }
        Ok(())
    }

    fn deadline(&self) -> Option<Instant> {
        self.time.alarm()
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}
