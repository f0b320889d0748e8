//! The network card: a virtio device as an embassy-net driver.

use core::cell::UnsafeCell;
use core::ptr::NonNull;
use core::task::Context;

use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState, RxToken, TxToken};
use portable_atomic::{AtomicU32, AtomicUsize, Ordering};
use static_cell::ConstStaticCell;
use virtio_drivers::device::net::VirtIONetRaw;
use virtio_drivers::transport::mmio::MmioTransport;
use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};

use crate::executor;

/// Frames that the card can hold in each direction.
const SLOTS: usize = 16;
/// The card's own header and a frame without its checksum.
const HEADER: usize = 12;
const MTU: usize = 1514;

type Buffer = [u8; HEADER + MTU];
type Net = VirtIONetRaw<Memory, MmioTransport<'static>, SLOTS>;

/// The network card of the board.
pub(crate) struct Card {
    net: Net,
    receiving: Lent,
    sending: Lent,
}

/// Buffers, and under which token and how much of each the device has.
struct Lent {
    buffers: &'static mut [Buffer; SLOTS],
    tokens: [Option<(u16, usize)>; SLOTS],
}

impl Lent {
    /// Ends a loan: the buffer's place, and how much of it the device had.
    fn take_back(&mut self, token: u16) -> (usize, usize) {
        let is_it = |lent: &Option<(u16, usize)>| lent.is_some_and(|(other, _)| other == token);
        let index = self.tokens.iter().position(is_it);
        let index = index.expect("the device gives back what it was lent");
        let length = self.tokens[index].take().map_or(0, |(_, length)| length);
        (index, length)
    }
}

impl Card {
    /// Starts the card. To be called once.
    pub(crate) fn start() -> Self {
        static BUFFERS: ConstStaticCell<[[Buffer; SLOTS]; 2]> =
            ConstStaticCell::new([[[0; HEADER + MTU]; SLOTS]; 2]);
        let [receiving, sending] = BUFFERS.take();
        let net = VirtIONetRaw::new(super::transport(super::CARD)).expect("the card starts");
        let lent = |buffers| Lent { buffers, tokens: [None; SLOTS] };
        let mut card = Self { net, receiving: lent(receiving), sending: lent(sending) };
        card.lend();
        super::enable_interrupt(super::CARD);
        card
    }

    /// Gives the card every buffer that it can receive into.
    fn lend(&mut self) {
        let Lent { buffers, tokens } = &mut self.receiving;
        for (buffer, token) in buffers.iter_mut().zip(tokens) {
            if token.is_none() {
                // SAFETY: the buffer is not looked at before the loan has ended.
                let new = unsafe { self.net.receive_begin(buffer) };
                *token = Some((new.expect("a place for each buffer"), HEADER + MTU));
            }
        }
    }

    /// The place of a buffer to send from, as soon as one is free.
    fn free(&mut self) -> Option<usize> {
        while let Some(token) = self.net.poll_transmit() {
            let (index, length) = self.sending.take_back(token);
            let frame = &self.sending.buffers[index][..length];
            // SAFETY: this much of this buffer was lent under this token.
            unsafe { self.net.transmit_complete(token, frame) }.expect("the frame was sent");
        }
        self.sending.tokens.iter().position(Option::is_none)
    }
}

/// Frames that have come since the start, to be compared with what was sent to the board.
pub(crate) fn frames() -> u32 {
    FRAMES.load(Ordering::Relaxed)
}

static FRAMES: AtomicU32 = AtomicU32::new(0);

impl Driver for Card {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = Free<'a>;

    fn receive(&mut self, cx: &mut Context<'_>) -> Option<(Received<'_>, Free<'_>)> {
        // Those before have been looked at.
        self.lend();
        let (Some(token), Some(free)) = (self.net.poll_receive(), self.free()) else {
            executor::on_device(cx.waker());
            return None;
        };
        FRAMES.fetch_add(1, Ordering::Relaxed);
        let (index, _) = self.receiving.take_back(token);
        let buffer = &mut self.receiving.buffers[index];
        // SAFETY: this buffer was lent under this token.
        let (header, length) =
            unsafe { self.net.receive_complete(token, buffer) }.expect("a frame has come");
        let received = Received { frame: &mut buffer[header..][..length] };
        Some((received, free_buffer(&mut self.net, &mut self.sending, free)))
    }

    fn transmit(&mut self, cx: &mut Context<'_>) -> Option<Free<'_>> {
        let Some(free) = self.free() else {
            executor::on_device(cx.waker());
            return None;
        };
        Some(free_buffer(&mut self.net, &mut self.sending, free))
    }

    fn link_state(&mut self, _cx: &mut Context<'_>) -> LinkState {
        // The emulator's switch does not tell when a cable is pulled, as many a real one.
        LinkState::Up
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = MTU;
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(self.net.mac_address())
    }
}

fn free_buffer<'a>(net: &'a mut Net, sending: &'a mut Lent, index: usize) -> Free<'a> {
    Free { net, buffer: &mut sending.buffers[index], token: &mut sending.tokens[index] }
}

/// A frame that has come.
pub(crate) struct Received<'a> {
    frame: &'a mut [u8],
}

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, look: F) -> R {
        look(self.frame)
    }
}

/// Room for a frame to send.
pub(crate) struct Free<'a> {
    net: &'a mut Net,
    buffer: &'a mut Buffer,
    token: &'a mut Option<(u16, usize)>,
}

impl TxToken for Free<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, fill: F) -> R {
        let header = self.net.fill_buffer_header(self.buffer).expect("room for the header");
        let result = fill(&mut self.buffer[header..][..length]);
        let whole = header + length;
        // SAFETY: the buffer is not touched before the loan has ended.
        let token = unsafe { self.net.transmit_begin(&self.buffer[..whole]) };
        *self.token = Some((token.expect("a place for each buffer"), whole));
        result
    }
}

/// Memory that the devices share with us: all of it is, at its own address.
pub(super) struct Memory;

/// Pages for the queues of the card and of the random source, which keep them for ever.
const PAGES: usize = 12;

#[repr(align(4096))]
struct Pages(UnsafeCell<[[u8; PAGE_SIZE]; PAGES]>);

// SAFETY: each page is given out once.
unsafe impl Sync for Pages {}

static PAGES_MEMORY: Pages = Pages(UnsafeCell::new([[0; PAGE_SIZE]; PAGES]));
static NEXT_PAGE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: pages are aligned, zeroed at start-up, and given out once; the devices see the
// processor's addresses, and no cache is between.
unsafe impl Hal for Memory {
    fn dma_alloc(pages: usize, _direction: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let first = NEXT_PAGE.fetch_add(pages, Ordering::Relaxed);
        assert!(first + pages <= PAGES, "the devices want more than {PAGES} pages");
        let page = PAGES_MEMORY.0.get().cast::<u8>().wrapping_add(first * PAGE_SIZE);
        (page.addr() as PhysAddr, NonNull::new(page).expect("a static is not at zero"))
    }

    unsafe fn dma_dealloc(_address: PhysAddr, _page: NonNull<u8>, _pages: usize) -> i32 {
        // Asked for once and kept: the random source's are lost when it is dropped.
        0
    }

    unsafe fn mmio_phys_to_virt(address: PhysAddr, _size: usize) -> NonNull<u8> {
        NonNull::new(address as *mut u8).expect("no device is at zero")
    }

    unsafe fn share(buffer: NonNull<[u8]>, _direction: BufferDirection) -> PhysAddr {
        buffer.cast::<u8>().addr().get() as PhysAddr
    }

    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {}
}
