//! The network card: an OpenCores Ethernet MAC as an embassy-net driver.

use core::sync::atomic::compiler_fence;
use core::task::Context;

use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState, RxToken, TxToken};
use portable_atomic::{AtomicU32, Ordering};
use static_cell::ConstStaticCell;

use crate::executor;

const REGISTERS: usize = 0xfd03_0000;
const MODER: usize = 0x00;
const INT_SOURCE: usize = 0x04;
const INT_MASK: usize = 0x08;
const TX_BD_NUM: usize = 0x20;
const MAC_ADDR0: usize = 0x40;
const MAC_ADDR1: usize = 0x44;
const HASH0: usize = 0x48;
const HASH1: usize = 0x4c;
/// Two words for each frame: length and flags, and where it is. Those to send come first.
const DESCRIPTORS: usize = 0x400;

/// MODER: receive and send, full duplex, make checksums, pad short frames.
const RUN: u32 = 1 | 1 << 1 | 1 << 10 | 1 << 13 | 1 << 15;
/// INT_SOURCE: sent, failed to send, received, received in error, no room.
const ANY: u32 = 0x1f;
/// In both kinds of descriptor: the card has the frame; interrupt when done; the last one.
const LENT: u32 = 1 << 15;
const INTERRUPT: u32 = 1 << 14;
const LAST: u32 = 1 << 13;
/// In a descriptor to send: pad, and append the checksum.
const PAD_AND_CHECK: u32 = 1 << 12 | 1 << 11;
/// In a descriptor that was received: it is no whole frame.
const BAD: u32 = 0x7f;

/// Frames that the card can hold in each direction.
const SLOTS: usize = 16;
const MTU: usize = 1514;
/// Appended to every frame that comes.
const CHECKSUM: usize = 4;
/// The machine does not tell the card's own.
const MAC: [u8; 6] = [0x52, 0x54, 0x00, 0x00, 0x00, 0x03];

/// A frame, its checksum, and up to a multiple of four.
type Buffer = [u8; MTU + CHECKSUM + 2];

fn write(register: usize, value: u32) {
    // SAFETY: the card has this register.
    unsafe { ((REGISTERS + register) as *mut u32).write_volatile(value) };
}

fn read(register: usize) -> u32 {
    // SAFETY: the card has this register.
    unsafe { ((REGISTERS + register) as *const u32).read_volatile() }
}

/// The interrupt has done its work: it ended a sleep.
pub(super) fn acknowledge() {
    write(INT_SOURCE, ANY);
}

/// The network card of the board.
pub(crate) struct Card {
    sending: Ring,
    receiving: Ring,
}

/// Buffers and their descriptors, used in turn.
struct Ring {
    buffers: &'static mut [Buffer; SLOTS],
    /// The register of the first descriptor.
    descriptors: usize,
    next: usize,
}

impl Ring {
    fn descriptor(&self) -> usize {
        self.descriptors + 8 * self.next
    }

    fn is_lent(&self) -> bool {
        read(self.descriptor()) & LENT != 0
    }

    /// Gives the next buffer to the card, with a length where it is to send.
    fn lend(&mut self, length: usize, flags: u32) {
        let last = if self.next == SLOTS - 1 { LAST } else { 0 };
        // The buffer is whole before the card has it.
        compiler_fence(Ordering::SeqCst);
        write(self.descriptor(), (length as u32) << 16 | LENT | INTERRUPT | last | flags);
        self.next = (self.next + 1) % SLOTS;
    }
}

impl Card {
    /// Starts the card. To be called once.
    pub(crate) fn start() -> Self {
        static BUFFERS: ConstStaticCell<[[Buffer; SLOTS]; 2]> =
            ConstStaticCell::new([[[0; MTU + CHECKSUM + 2]; SLOTS]; 2]);
        let [sending, receiving] = BUFFERS.take();
        write(MODER, 0);
        let [a, b, c, d, e, f] = MAC;
        write(MAC_ADDR0, u32::from_be_bytes([c, d, e, f]));
        write(MAC_ADDR1, u32::from_be_bytes([0, 0, a, b]));
        // Every multicast: whoever asks for a neighbour's IPv6 address calls by one.
        write(HASH0, u32::MAX);
        write(HASH1, u32::MAX);
        write(TX_BD_NUM, SLOTS as u32);
        let ring = |buffers, first| Ring { buffers, descriptors: DESCRIPTORS + 8 * first, next: 0 };
        let mut card = Self { sending: ring(sending, 0), receiving: ring(receiving, SLOTS) };
        for ring in [&mut card.sending, &mut card.receiving] {
            for (index, buffer) in ring.buffers.iter_mut().enumerate() {
                let last = if index == SLOTS - 1 { LAST } else { 0 };
                write(ring.descriptors + 8 * index, last);
                write(ring.descriptors + 8 * index + 4, buffer.as_mut_ptr().addr() as u32);
            }
        }
        for _ in 0..SLOTS {
            card.receiving.lend(0, 0);
        }
        acknowledge();
        write(INT_MASK, ANY);
        write(MODER, RUN);
        card
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
        // What is no whole frame is passed over.
        while !self.receiving.is_lent() && read(self.receiving.descriptor()) & BAD != 0 {
            self.receiving.lend(0, 0);
        }
        if self.receiving.is_lent() || self.sending.is_lent() {
            executor::on_device(cx.waker());
            return None;
        }
        // The card wrote the frame before it gave the descriptor back.
        compiler_fence(Ordering::SeqCst);
        FRAMES.fetch_add(1, Ordering::Relaxed);
        Some((Received { ring: &mut self.receiving }, Free { ring: &mut self.sending }))
    }

    fn transmit(&mut self, cx: &mut Context<'_>) -> Option<Free<'_>> {
        if self.sending.is_lent() {
            executor::on_device(cx.waker());
            return None;
        }
        Some(Free { ring: &mut self.sending })
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
        HardwareAddress::Ethernet(MAC)
    }
}

/// A frame that has come.
pub(crate) struct Received<'a> {
    ring: &'a mut Ring,
}

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, look: F) -> R {
        let length = (read(self.ring.descriptor()) >> 16) as usize;
        let length = length.saturating_sub(CHECKSUM).min(MTU);
        let result = look(&mut self.ring.buffers[self.ring.next][..length]);
        self.ring.lend(0, 0);
        result
    }
}

/// Room for a frame to send.
pub(crate) struct Free<'a> {
    ring: &'a mut Ring,
}

impl TxToken for Free<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, fill: F) -> R {
        let result = fill(&mut self.ring.buffers[self.ring.next][..length]);
        self.ring.lend(length, PAD_AND_CHECK);
        result
    }
}
