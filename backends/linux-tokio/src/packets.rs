//! The inner side of a tunnel: where IP packets come from and go to.

use core::future::Future;
use std::io;

use tokio::sync::mpsc;

/// Bytes before each packet in its buffer: the room for a data message's header.
pub const HEAD_ROOM: usize = wg_core::DATA_HEADER_LEN;

/// What a tunnel carries packets for: a TUN interface, or a channel.
pub trait Packets: Send {
    /// Waits for packets and adds them to `batch`, as [`try_receive`](Self::try_receive) does.
    /// Must be cancel safe: a call that is dropped has taken no packet.
    ///
    /// # Errors
    /// Only those after which no packet will come any more; the tunnel ends with them.
    fn receive(&mut self, batch: &mut Batch) -> impl Future<Output = io::Result<()>> + Send;

    /// Adds the packets that are there to `batch`, until it [is full](Batch::is_full), without
    /// waiting for any.
    ///
    /// # Errors
    /// The same.
    fn try_receive(&mut self, batch: &mut Batch) -> io::Result<()>;

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
    bytes: usize,
    mtu: u16,
}

impl Batch {
    /// Packets in one batch, at most: a TCP segment of 64 KiB cut to an MTU of 576.
    pub(crate) const PACKETS: usize = 128;
    /// As many packets, or as many bytes, are enough for one batch: the kernel takes no more
    /// datagrams, and not many more bytes, in one call.
    const ENOUGH: usize = 64;
    const ENOUGH_BYTES: usize = 32 << 10;

    /// Buffers for packets of up to `mtu` bytes, and of 1500 at least.
    pub(crate) fn new(mtu: u16) -> Self {
        let room = usize::from(mtu.max(1500)).next_multiple_of(16) + wg_core::DATA_OVERHEAD;
        Self {
            buffers: vec![vec![0; room]; Self::PACKETS],
            lengths: vec![0; Self::PACKETS],
            count: 0,
            bytes: 0,
            mtu,
        }
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
        self.bytes += packet.len();
        true
    }

    /// Whether there are enough packets in it, or no place for what one more look may bring: a
    /// TCP segment of 64 KiB, cut up.
    pub fn is_full(&self) -> bool {
        // Headers of IPv6 and TCP are in each piece.
        let pieces = usize::from(u16::MAX) / usize::from(self.mtu.max(576) - 60) + 1;
        self.count > 0
            && (self.count >= Self::ENOUGH
                || self.bytes >= Self::ENOUGH_BYTES
                || self.count + pieces > self.buffers.len())
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn clear(&mut self) {
        self.count = 0;
        self.bytes = 0;
    }

    /// The free parts, to be filled from the start.
    pub(crate) fn free(&mut self) -> (&mut [Vec<u8>], &mut [usize]) {
        let buffers = self.buffers.get_mut(self.count..).unwrap_or_default();
        (buffers, self.lengths.get_mut(self.count..).unwrap_or_default())
    }

    /// Says that `count` more parts are filled.
    pub(crate) fn filled(&mut self, count: usize) {
        let end = self.count + count;
        let lengths = self.lengths.get(self.count..end).unwrap_or_default();
        self.bytes += lengths.iter().sum::<usize>();
        self.count = end;
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
        self.try_receive(batch)
    }

    fn try_receive(&mut self, batch: &mut Batch) -> io::Result<()> {
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
