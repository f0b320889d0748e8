//! The inner side of a tunnel: where IP packets come from and go to.

use core::future::Future;
use std::io;

use tokio::sync::mpsc;

/// Bytes before each packet in its buffer: the room for a data message's header.
pub const HEAD_ROOM: usize = wg_core::DATA_HEADER_LEN;

/// What a tunnel carries packets for: a TUN interface, or a channel.
pub trait Packets: Send {
    /// Waits for packets and puts them into the empty `batch`. Must be cancel safe: a call
    /// that is dropped has taken no packet.
    ///
    /// # Errors
    /// Only those after which no packet will come any more; the tunnel ends with them.
    fn receive(&mut self, batch: &mut Batch) -> impl Future<Output = io::Result<()>> + Send;

    /// Hands over packets, each of which begins after [`HEAD_ROOM`] bytes of its buffer. What
    /// is in the buffers afterwards does not matter.
    ///
    /// # Errors
    /// Some of the packets were lost. The tunnel logs it and goes on.
    fn send(&mut self, packets: &mut [Vec<u8>]) -> impl Future<Output = io::Result<()>> + Send;
}

/// Packets on their way out, each in a buffer in which it can be sealed.
#[derive(Debug)]
pub struct Batch {
    buffers: Vec<Vec<u8>>,
    lengths: Vec<usize>,
    count: usize,
    mtu: u16,
}

impl Batch {
    /// Packets in one batch, at most: a TCP segment of 64 KiB cut to an MTU of 576.
    const PACKETS: usize = 128;

    /// Buffers for packets of up to `mtu` bytes, and of 1500 at least.
    pub(crate) fn new(mtu: u16) -> Self {
        let room = usize::from(mtu.max(1500)).next_multiple_of(16) + wg_core::DATA_OVERHEAD;
        Self {
            buffers: vec![vec![0; room]; Self::PACKETS],
            lengths: vec![0; Self::PACKETS],
            count: 0,
            mtu,
        }
    }

    /// What it was made for.
    pub(crate) fn mtu(&self) -> u16 {
        self.mtu
    }

    /// Adds a packet; false when it is too long or there is no buffer left.
    pub fn push(&mut self, packet: &[u8]) -> bool {
        let room = self
            .buffers
            .get_mut(self.count)
            .filter(|buffer| packet.len() + wg_core::DATA_OVERHEAD <= buffer.len())
            .and_then(|buffer| buffer.get_mut(HEAD_ROOM..HEAD_ROOM + packet.len()));
        let (Some(room), Some(length)) = (room, self.lengths.get_mut(self.count)) else {
            return false;
        };
        room.copy_from_slice(packet);
        *length = packet.len();
        self.count += 1;
        true
    }

    /// Whether another packet has no place.
    pub fn is_full(&self) -> bool {
        self.count == self.buffers.len()
    }

    pub(crate) fn clear(&mut self) {
        self.count = 0;
    }

    /// The parts, to be filled from the start by one who then says how many.
    pub(crate) fn parts(&mut self) -> (&mut [Vec<u8>], &mut [usize], &mut usize) {
        (&mut self.buffers, &mut self.lengths, &mut self.count)
    }

    /// Each packet's whole buffer, and the packet's length.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&mut [u8], usize)> {
        let lengths = self.lengths.iter().copied();
        self.buffers.iter_mut().map(Vec::as_mut_slice).zip(lengths).take(self.count)
    }
}

/// A host inside the tunnel that is a part of this program: packets come and go by channels.
#[derive(Debug)]
pub struct ChannelPackets {
    from_host: mpsc::Receiver<Vec<u8>>,
    to_host: mpsc::Sender<Vec<u8>>,
}

impl ChannelPackets {
    /// The tunnel's end; then the host's: where it sends IP packets, and where it receives
    /// them. Each direction holds `capacity` packets. The tunnel drops what the host does not
    /// fetch.
    pub fn new(capacity: usize) -> (Self, mpsc::Sender<Vec<u8>>, mpsc::Receiver<Vec<u8>>) {
        let (sender, from_host) = mpsc::channel(capacity);
        let (to_host, receiver) = mpsc::channel(capacity);
        (Self { from_host, to_host }, sender, receiver)
    }
}

impl Packets for ChannelPackets {
    async fn receive(&mut self, batch: &mut Batch) -> io::Result<()> {
        // A host that sends no more may still receive.
        let Some(first) = self.from_host.recv().await else {
            return core::future::pending().await;
        };
        if !batch.push(&first) {
            log::warn!("a packet of {} bytes is longer than the tunnel's MTU", first.len());
        }
        while !batch.is_full()
            && let Ok(packet) = self.from_host.try_recv()
        {
            batch.push(&packet);
        }
        Ok(())
    }

    async fn send(&mut self, packets: &mut [Vec<u8>]) -> io::Result<()> {
        for packet in packets {
            let packet = packet.get(HEAD_ROOM..).unwrap_or_default().to_vec();
            self.to_host.try_send(packet).map_err(io::Error::other)?;
        }
        Ok(())
    }
}

/// Packets on their way in, collected for one [`Packets::send`].
#[derive(Default, Debug)]
pub(crate) struct Arrivals {
    buffers: Vec<Vec<u8>>,
    count: usize,
}

impl Arrivals {
    /// Room to merge a TCP stream's packets into one: the length field's limit, and head room
    /// twice. Memory that is not used is not touched.
    const CAPACITY: usize = u16::MAX as usize + 2 * HEAD_ROOM;

    pub(crate) fn push(&mut self, packet: &[u8]) {
        if self.count == self.buffers.len() {
            self.buffers.push(Vec::with_capacity(Self::CAPACITY));
        }
        if let Some(buffer) = self.buffers.get_mut(self.count) {
            buffer.clear();
            buffer.resize(HEAD_ROOM, 0);
            buffer.extend_from_slice(packet);
            self.count += 1;
        }
    }

    /// Takes the packets, whose buffers are used again.
    pub(crate) fn take(&mut self) -> &mut [Vec<u8>] {
        let count = core::mem::take(&mut self.count);
        self.buffers.get_mut(..count).unwrap_or_default()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }
}
