//! A TUN interface.

use std::io;

use tun_rs::{AsyncDevice, DeviceBuilder, GROTable, VIRTIO_NET_HDR_LEN};

use crate::error::Error;
use crate::packets::{Batch, HEAD_ROOM, Packets};

/// A network interface of the host. It is removed when this is dropped.
///
/// TCP segments cross it by up to 64 KiB at a time, and are cut and joined here.
pub struct Tun {
    device: AsyncDevice,
    name: String,
    index: u32,
    /// A packet as the kernel gives it, with its header, to be cut.
    uncut: Vec<u8>,
    joins: GROTable,
    /// Whether it was down when a packet was for the host last.
    is_down: bool,
}

impl Tun {
    /// Makes an interface, which is still down and without addresses.
    ///
    /// # Errors
    /// [`Error::InterfaceName`], [`Error::InterfaceExists`] or [`Error::Tun`].
    pub fn create(name: &str, mtu: u16) -> Result<Self, Error> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_=+.-".contains(&byte);
        let is_name = (1..=15).contains(&name.len()) && name.bytes().all(allowed);
        if !is_name || name == "." || name == ".." {
            return Err(Error::InterfaceName(name.into()));
        }
        if nix::net::if_::if_nametoindex(name).is_ok() {
            return Err(Error::InterfaceExists(name.into()));
        }
        let builder = DeviceBuilder::new().name(name).mtu(mtu).enable(false);
        let device = builder
            .with(|linux| {
                linux.offload(true);
            })
            .build_async()
            .map_err(|error| Error::Tun(name.into(), error))?;
        let index = device.if_index().map_err(|error| Error::Tun(name.into(), error))?;
        let uncut = vec![0; VIRTIO_NET_HDR_LEN + usize::from(u16::MAX)];
        Ok(Self {
            device,
            name: name.into(),
            index,
            uncut,
            joins: GROTable::default(),
            is_down: false,
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its number.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Switches IPv6 on for this interface, where it is off for new ones: what the
    /// configuration has of it shall not leave by another interface. False when the kernel has
    /// no IPv6 at all.
    ///
    /// # Errors
    /// [`Error::NoIpv6`].
    pub fn enable_ipv6(&self) -> Result<bool, Error> {
        let switch = format!("/proc/sys/net/ipv6/conf/{}/disable_ipv6", self.name);
        match std::fs::read(&switch) {
            Ok(value) if value.trim_ascii() == b"0" => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            _ => {}
        }
        let on = std::fs::write(&switch, "0");
        on.map(|()| true).map_err(|error| Error::NoIpv6(self.name.clone(), error))
    }

    /// Brings it up, without the link-local address that Linux would give it: nobody at the
    /// other end could answer what is sent from there.
    ///
    /// # Errors
    /// [`Error::Tun`].
    pub fn up(&self) -> Result<(), Error> {
        let none = "1";
        let switch = format!("/proc/sys/net/ipv6/conf/{}/addr_gen_mode", self.name);
        if let Err(error) = std::fs::write(&switch, none) {
            log::debug!("{switch}: {error}");
        }
        self.device.enabled(true).map_err(|error| Error::Tun(self.name.clone(), error))
    }
}

impl core::fmt::Debug for Tun {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Tun").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Tun {
    /// What became of one look at the interface, which gave so many packets. False when there
    /// is nothing left.
    fn received(&self, got: io::Result<usize>, batch: &mut Batch) -> io::Result<bool> {
        match got {
            Ok(count) => batch.filled(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.raw_os_error().is_some() => return Err(error),
            // One packet that cannot be cut: somebody raised the interface's MTU.
            Err(error) => log::warn!("dropped a packet from {}: {error}", self.name),
        }
        Ok(true)
    }

    /// Hands over a packet that there is nothing to join to.
    async fn send_one(&self, packet: &mut [u8]) -> io::Result<usize> {
        if !self.device.tcp_gso() {
            return self.device.send(packet.get(HEAD_ROOM..).unwrap_or_default()).await;
        }
        // Zeros are the header of a packet that is neither joined nor without its checksum.
        let packet = packet.get_mut(HEAD_ROOM - VIRTIO_NET_HDR_LEN..).unwrap_or_default();
        packet.get_mut(..VIRTIO_NET_HDR_LEN).unwrap_or_default().fill(0);
        self.device.send(packet).await
    }
}

impl Packets for Tun {
    async fn receive(&mut self, batch: &mut Batch) -> io::Result<()> {
        let (buffers, lengths) = batch.free();
        let got = self.device.recv_multiple(&mut self.uncut, buffers, lengths, HEAD_ROOM).await;
        self.received(got, batch)?;
        self.try_receive(batch)
    }

    fn try_receive(&mut self, batch: &mut Batch) -> io::Result<()> {
        while !batch.is_full() {
            let (buffers, lengths) = batch.free();
            let got = self.device.try_recv_multiple(&mut self.uncut, buffers, lengths, HEAD_ROOM);
            if !self.received(got, batch)? {
                break;
            }
        }
        Ok(())
    }

    async fn send(&mut self, packets: &mut [Vec<u8>]) -> io::Result<()> {
        let sent = match packets {
            [packet] => self.send_one(packet).await,
            // It takes memory from the heap for each packet that it tries to join to others.
            packets => self.device.send_multiple(&mut self.joins, packets, HEAD_ROOM).await,
        };
        match sent {
            Ok(_) => {
                self.is_down = false;
                Ok(())
            }
            // It is down: somebody wanted it so, and need not be told of every packet.
            Err(error) if error.raw_os_error() == Some(nix::libc::EIO) => {
                if !self.is_down {
                    log::info!("{} is down: packets for this host are dropped", self.name);
                }
                self.is_down = true;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}
