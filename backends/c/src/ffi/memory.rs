#![allow(unsafe_code)] // The memory is C's. See the module above.
//! An engine in memory that C gives.

use core::alloc::Layout;
use core::ffi::{c_int, c_void};
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use wg_core::{Arena, Device};
use zeroize::Zeroize;

use super::{Callbacks, Out, RawPort, bytes_mut, done};
use crate::code::{Code, Outcome};
use crate::engine::Engine;

/// `struct wg`, at the beginning of its memory.
pub struct Wg {
    state: u32,
    /// Of the whole memory.
    size: usize,
    engine: MaybeUninit<Engine>,
}

/// Values of `Wg::state` that memory has by chance as seldom as any.
const READY: u32 = 0x5747_c001;
const BUSY: u32 = 0x5747_c002;

/// What the memory is aligned to, and nothing in it needs more.
const ALIGN: usize = 8;

/// The constants of wg.h: `WG_STORAGE_BASE`, `_PER_PEER`, `_PER_ROUTE`. On hosts with room for the
/// larger replay window that wg-core has there with `alloc`, which another crate may turn on.
pub(crate) const STORAGE: [usize; 3] =
    if size_of::<usize>() > 4 { [1152, 3136, 80] } else { [864, 1344, 80] };

/// What they must be at least. Nine peers or routes less one are eight, whose size no alignment
/// rounds; each piece may begin with a gap.
const LEAST: [usize; 3] = {
    use wg_core::Storage;
    let one = size_of::<Storage<1, 1>>();
    let per_peer = (size_of::<Storage<9, 1>>() - one) / 8;
    let per_route = (size_of::<Storage<1, 9>>() - one) / 8;
    let gaps = PIECES * (ALIGN - 1);
    let own = size_of::<Wg>() + size_of::<Callbacks>();
    [own + one - per_peer - per_route + gaps, per_peer, per_route]
};
const _: () = {
    let ([base, peer, route], [least_base, per_peer, per_route]) = (STORAGE, LEAST);
    assert!(base >= least_base && peer >= per_peer && route >= per_route, "wg.h: too small");
};

/// Memory given out from its beginning; without memory, the sum of what is asked for.
struct Pieces {
    memory: Option<NonNull<u8>>,
    size: usize,
    used: usize,
    count: usize,
}

/// How many pieces an engine has.
const PIECES: usize = 10;

impl Pieces {
    /// A place for `layout`; a dangling one while only sums are made.
    fn take(&mut self, layout: Layout) -> Option<Option<NonNull<u8>>> {
        let at = self.used.checked_next_multiple_of(layout.align())?;
        let end = at.checked_add(layout.size())?;
        if layout.align() > ALIGN || end > self.size {
            return None;
        }
        self.used = end;
        self.count = self.count.saturating_add(1);
        // SAFETY: `at` is not behind the end of the memory, whose `size` bytes are one object.
        Some(self.memory.map(|memory| unsafe { memory.add(at) }))
    }

    /// Keeps a value that is never dropped; `None` also while only sums are made.
    fn keep<T: 'static>(&mut self, value: T) -> Option<&'static mut T> {
        let place = self.take(Layout::new::<T>())??.cast::<T>();
        // SAFETY: the piece is aligned for a T, as large, and nobody else's until wg_wipe, after
        // which no reference is used.
        unsafe {
            place.write(value);
            Some(&mut *place.as_ptr())
        }
    }
}

impl Arena<'static> for Pieces {
    fn rows<T: 'static>(&mut self, count: usize, vacant: fn() -> T) -> Option<&'static mut [T]> {
        let Some(memory) = self.take(Layout::array::<T>(count).ok()?)? else {
            return Some(&mut []);
        };
        let first = memory.cast::<T>();
        for row in 0..count {
            // SAFETY: the piece has room for `count` rows, and `row` is less.
            unsafe { first.add(row).write(vacant()) };
        }
        // SAFETY: all rows are written, and the piece is nobody else's until wg_wipe, after which
        // the device and with it the reference are gone.
        Some(unsafe { core::slice::from_raw_parts_mut(first.as_ptr(), count) })
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn wg_storage_size(peers: usize, routes: usize) -> usize {
    let mut sum = Pieces { memory: None, size: isize::MAX as usize, used: 0, count: 0 };
    let _ = sum.take(Layout::new::<Wg>()).and_then(|_| sum.take(Layout::new::<Callbacks>()));
    // There is no device without memory; but all of it was asked for.
    let _ = Device::in_arena(&mut sum, peers, routes);
    if sum.count == PIECES { sum.used } else { 0 }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wg_init(
    wg: *mut *mut Wg,
    memory: *mut c_void,
    size: usize,
    peers: usize,
    routes: usize,
    port: *const RawPort,
) -> c_int {
    done((|| {
        let out = Out::new(wg)?;
        let memory = NonNull::new(memory.cast::<u8>()).ok_or(Code::NULL)?;
        // SAFETY: as wg.h has it, `port` is NULL or a structure to read.
        let callbacks = Callbacks::new(unsafe { port.as_ref() }.ok_or(Code::NULL)?)?;
        let needed = wg_storage_size(peers, routes);
        if needed == 0 {
            return Err(Code::ARGUMENT);
        }
        if !memory.addr().get().is_multiple_of(ALIGN) {
            return Err(Code::STORAGE_ALIGN);
        }
        if size < needed {
            return Err(Code::STORAGE_SIZE);
        }
        let mut pieces = Pieces { memory: Some(memory), size, used: 0, count: 0 };
        let head = pieces.take(Layout::new::<Wg>()).flatten().ok_or(Code::STORAGE_SIZE)?;
        let unix_time = pieces.keep(move || callbacks.unix_time()).ok_or(Code::STORAGE_SIZE)?;
        let device = Device::in_arena(&mut pieces, peers, routes).ok_or(Code::STORAGE_SIZE)?;
        let head = head.cast::<Wg>();
        let engine = MaybeUninit::new(Engine::new(device, unix_time, callbacks));
        // SAFETY: the first piece is for this.
        unsafe { head.write(Wg { state: READY, size: needed, engine }) };
        out.set(head.as_ptr());
        Ok(())
    })())
}

/// Calls `body` with the engine, unless it is in another call.
pub(super) unsafe fn with(wg: *mut Wg, body: impl FnOnce(&mut Engine) -> Outcome) -> c_int {
    if wg.is_null() {
        return Code::NULL.0;
    }
    // SAFETY: `wg` is wg_init's, or its memory after wg_wipe: `state` can be read either way. The
    // reference to the engine is the only one, since another call finds BUSY.
    unsafe {
        let state = &raw mut (*wg).state;
        match state.read_volatile() {
            READY => state.write_volatile(BUSY),
            BUSY => return Code::BUSY.0,
            _ => return Code::NOT_INITIALIZED.0,
        }
        let result = done(body((*wg).engine.assume_init_mut()));
        state.write_volatile(READY);
        result
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wg_wipe(wg: *mut Wg) -> c_int {
    // SAFETY: as wg.h has it.
    let ended = unsafe {
        with(wg, |engine| {
            // SAFETY: the engine is there, and `Wg::state` is never READY again.
            core::ptr::drop_in_place(engine);
            Ok(())
        })
    };
    if ended == Code::OK.0 {
        // SAFETY: wg_init was given these bytes, and nothing refers to them any more.
        unsafe {
            let size = (*wg).size;
            core::slice::from_raw_parts_mut(wg.cast::<u8>(), size).zeroize();
        }
    }
    ended
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wg_wipe_bytes(bytes: *mut c_void, length: usize) {
    // SAFETY: as wg.h has it.
    if let Ok(bytes) = unsafe { bytes_mut(bytes.cast(), length) } {
        bytes.zeroize();
    }
}
