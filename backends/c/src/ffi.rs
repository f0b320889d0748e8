#![allow(unsafe_code)]
// C calls this, and it calls C. Nothing else of this crate is unsafe.
// What each function asks of its caller is in wg.h.
#![allow(clippy::missing_safety_doc, missing_docs)]
//! What C calls: pointers become references here, or errors.

mod memory;

use core::ffi::{CStr, c_char, c_int, c_void};
use core::net::IpAddr;
use core::ptr::NonNull;
use core::time::Duration;

pub use memory::*;
use wg_core::{AllowedIp, INITIATION_LEN, Instant, PresharedKey, PrivateKey, PublicKey};
use zeroize::Zeroize;

use crate::clock::RECORD_LEN;
use crate::code::{Code, Outcome};
use crate::config;
use crate::types::{
    RawAddress, RawConfig, RawEndpoint, RawEvent, RawReceived, RawStatus, RawTransmit,
};
use memory::with;

const KEY_LEN: usize = 32;
const KEY_TEXT_LEN: usize = 45;

// ---- callbacks ---------------------------------------------------------------------------------

type Random = unsafe extern "C" fn(*mut c_void, *mut u8, usize) -> c_int;
type UnixTime = unsafe extern "C" fn(*mut c_void, *mut u64, *mut u32) -> c_int;
type Load = unsafe extern "C" fn(*mut c_void, *mut u8) -> c_int;
type Save = unsafe extern "C" fn(*mut c_void, *const u8) -> c_int;

/// `struct wg_port`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct RawPort {
    pub(crate) context: *mut c_void,
    pub(crate) random: Option<Random>,
    pub(crate) unix_time: Option<UnixTime>,
    pub(crate) load: Option<Load>,
    pub(crate) save: Option<Save>,
}

/// The board's callbacks, checked.
#[derive(Clone, Copy)]
pub(crate) struct Callbacks {
    context: *mut c_void,
    random: Random,
    unix_time: Option<UnixTime>,
    memory: Option<(Load, Save)>,
}

impl Callbacks {
    fn new(port: &RawPort) -> Result<Self, Code> {
        let memory = match (port.load, port.save) {
            (Some(load), Some(save)) => Some((load, save)),
            (None, None) => None,
            _ => return Err(Code::NULL),
        };
        let random = port.random.ok_or(Code::NULL)?;
        Ok(Self { context: port.context, random, unix_time: port.unix_time, memory })
    }

    /// False when the source failed.
    pub(crate) fn random(&self, bytes: &mut [u8]) -> bool {
        // SAFETY: the callback writes `len` bytes at most, as wg.h asks of it.
        unsafe { (self.random)(self.context, bytes.as_mut_ptr(), bytes.len()) == 0 }
    }

    fn unix_time(&self) -> Option<Duration> {
        let (mut seconds, mut nanoseconds) = (0, 0);
        // SAFETY: the callback writes two numbers at most.
        let told =
            unsafe { (self.unix_time?)(self.context, &raw mut seconds, &raw mut nanoseconds) };
        // Too many nanoseconds would be seconds, whose sum can be too great.
        (told == 0 && nanoseconds < 1_000_000_000).then(|| Duration::new(seconds, nanoseconds))
    }

    pub(crate) const fn has_memory(&self) -> bool {
        self.memory.is_some()
    }

    /// Whether there is a record; `None` when the memory failed.
    pub(crate) fn load(&self, record: &mut [u8; RECORD_LEN]) -> Option<bool> {
        let (load, _) = self.memory?;
        // SAFETY: the callback writes a record's bytes at most.
        match Code(unsafe { load(self.context, record.as_mut_ptr()) }) {
            Code::OK => Some(true),
            Code::NONE => Some(false),
            _ => None,
        }
    }

    pub(crate) fn save(&self, record: &[u8; RECORD_LEN]) -> bool {
        // SAFETY: the callback reads a record's bytes.
        self.memory.is_some_and(|(_, save)| unsafe { save(self.context, record.as_ptr()) == 0 })
    }
}

// ---- pointers ----------------------------------------------------------------------------------

/// Where an answer goes.
pub(crate) struct Out<T>(NonNull<T>);

impl<T> Out<T> {
    /// `place` is NULL or has room for a T, as wg.h asks of each pointer for an answer.
    fn new(place: *mut T) -> Result<Self, Code> {
        NonNull::new(place).map(Self).ok_or(Code::NULL)
    }

    fn set(self, answer: T) {
        // SAFETY: there is room, and an unaligned place does no harm.
        unsafe { self.0.write_unaligned(answer) };
    }

    /// Without a copy in between, for secrets.
    fn copy(self, answer: &T)
    where
        T: Copy,
    {
        let (from, to) = (core::ptr::from_ref(answer).cast::<u8>(), self.0.as_ptr().cast::<u8>());
        // SAFETY: there is room for a T, which is bytes.
        unsafe { to.copy_from_nonoverlapping(from, size_of::<T>()) };
    }
}

/// `length` bytes; NULL only when there are none.
unsafe fn bytes<'a>(bytes: *const u8, length: usize) -> Result<&'a [u8], Code> {
    match NonNull::new(bytes.cast_mut()) {
        _ if length > isize::MAX as usize => Err(Code::ARGUMENT),
        // SAFETY: the caller vouches for the bytes.
        Some(bytes) => Ok(unsafe { core::slice::from_raw_parts(bytes.as_ptr(), length) }),
        None if length == 0 => Ok(&[]),
        None => Err(Code::NULL),
    }
}

unsafe fn bytes_mut<'a>(bytes: *mut u8, length: usize) -> Result<&'a mut [u8], Code> {
    match NonNull::new(bytes) {
        _ if length > isize::MAX as usize => Err(Code::ARGUMENT),
        // SAFETY: the caller vouches for the bytes.
        Some(bytes) => Ok(unsafe { core::slice::from_raw_parts_mut(bytes.as_ptr(), length) }),
        None if length == 0 => Ok(&mut []),
        None => Err(Code::NULL),
    }
}

unsafe fn key(key: *const u8) -> Result<[u8; KEY_LEN], Code> {
    // SAFETY: the caller vouches for 32 bytes.
    unsafe { key.cast::<[u8; KEY_LEN]>().as_ref() }.copied().ok_or(Code::NULL)
}

unsafe fn text<'a>(text: *const c_char) -> Result<&'a str, Code> {
    let text = NonNull::new(text.cast_mut()).ok_or(Code::NULL)?;
    // SAFETY: the caller vouches for a text with an end.
    unsafe { CStr::from_ptr(text.as_ptr()) }.to_str().map_err(|_| Code::TEXT)
}

fn done(outcome: Outcome) -> c_int {
    outcome.err().unwrap_or(Code::OK).0
}

/// Defines a function of the header: `body` runs with the engine, and with pointers that are checked
/// where it asks for them.
macro_rules! functions {
    ($($name:ident($($argument:ident: $type:ty),*) |$engine:ident| $body:block)+) => {$(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(wg: *mut Wg, $($argument: $type),*) -> c_int {
            // SAFETY: every pointer is NULL or what wg.h says, and is looked at by the functions above.
            unsafe { with(wg, |$engine| $body) }
        }
    )+};
}

fn at(now: u64) -> Instant {
    Instant::from_micros(now)
}

functions! {
    wg_reseed() |engine| { engine.reseed() }

    // ---- keys ----------------------------------------------------------------------------------

    wg_generate_private_key(to: *mut u8) |engine| {
        let to = Out::new(to.cast())?;
        to.copy(engine.generate_private_key()?.expose());
        Ok(())
    }
    wg_generate_preshared_key(to: *mut u8) |engine| {
        let to = Out::new(to.cast())?;
        to.copy(engine.generate_preshared_key()?.expose());
        Ok(())
    }

    // ---- settings ------------------------------------------------------------------------------

    wg_set_private_key(now: u64, from: *const u8) |engine| {
        let private = match key(from) {
            Ok(bytes) => Some(PrivateKey::from_bytes(bytes).ok_or(Code::KEY_ZERO)?),
            Err(_) => None,
        };
        engine.device.set_private_key(at(now), private.as_ref());
        Ok(())
    }
    wg_set_private_key_base64(now: u64, from: *const c_char) |engine| {
        let private: PrivateKey = text(from)?.parse()?;
        engine.device.set_private_key(at(now), Some(&private));
        Ok(())
    }
    wg_own_public_key(to: *mut u8) |engine| {
        let to = Out::new(to.cast())?;
        to.set(*engine.device.public_key().ok_or(Code::NONE)?.as_bytes());
        Ok(())
    }
    wg_add_peer(public: *const u8, peer: *mut u64) |engine| {
        let peer = Out::new(peer)?;
        peer.set(engine.add_peer(&PublicKey::from_bytes(key(public)?))?);
        Ok(())
    }
    wg_add_peer_base64(public: *const c_char, peer: *mut u64) |engine| {
        let peer = Out::new(peer)?;
        peer.set(engine.add_peer(&text(public)?.parse()?)?);
        Ok(())
    }
    wg_remove_peer(peer: u64) |engine| {
        let peer = engine.peer(peer)?;
        engine.device.remove_peer(peer);
        Ok(())
    }
    wg_find_peer(public: *const u8, peer: *mut u64) |engine| {
        let (peer, public) = (Out::new(peer)?, PublicKey::from_bytes(key(public)?));
        peer.set(engine.device.find_peer(&public).ok_or(Code::NONE)?.to_bits());
        Ok(())
    }
    wg_next_peer(peer: *mut u64) |engine| {
        let after = peer.as_ref().copied().ok_or(Code::NULL)?;
        Out::new(peer)?.set(engine.next_peer(after)?.to_bits());
        Ok(())
    }
    wg_set_preshared_key(peer: u64, from: *const u8) |engine| {
        let shared = key(from).map_or(PresharedKey::NONE, PresharedKey::from_bytes);
        let peer = engine.peer(peer)?;
        engine.device.set_preshared_key(peer, &shared);
        Ok(())
    }
    wg_set_preshared_key_base64(peer: u64, from: *const c_char) |engine| {
        let (peer, shared) = (engine.peer(peer)?, text(from)?.parse()?);
        engine.device.set_preshared_key(peer, &shared);
        Ok(())
    }
    wg_set_endpoint(now: u64, peer: u64, endpoint: *const RawEndpoint) |engine| {
        let remote = endpoint.as_ref().ok_or(Code::NULL)?.socket()?;
        let peer = engine.peer(peer)?;
        engine.device.set_endpoint(at(now), peer, remote);
        Ok(())
    }
    wg_set_keepalive(now: u64, peer: u64, seconds: u16) |engine| {
        let peer = engine.peer(peer)?;
        engine.device.set_persistent_keepalive(at(now), peer, seconds);
        Ok(())
    }
    wg_add_allowed_ip(peer: u64, address: *const RawAddress, prefix_len: u8) |engine| {
        let ip = address.as_ref().ok_or(Code::NULL)?.ip().ok_or(Code::ADDRESS)?;
        let prefix = AllowedIp::new(ip, prefix_len).ok_or(Code::ADDRESS)?;
        let peer = engine.peer(peer)?;
        Ok(engine.device.add_allowed_ip(peer, prefix)?)
    }
    wg_add_allowed_ip_text(peer: u64, from: *const c_char) |engine| {
        let prefix = config::allowed_ip(text(from)?)?;
        let peer = engine.peer(peer)?;
        Ok(engine.device.add_allowed_ip(peer, prefix)?)
    }
    wg_remove_allowed_ips(peer: u64) |engine| {
        let peer = engine.peer(peer)?;
        engine.device.remove_allowed_ips(peer);
        Ok(())
    }
    wg_connect(now: u64, peer: u64) |engine| {
        let peer = engine.peer(peer)?;
        engine.device.connect(at(now), peer);
        Ok(())
    }
    wg_set_mtu(mtu: u16) |engine| {
        engine.device.set_mtu(mtu);
        Ok(())
    }
    wg_up(now: u64) |engine| {
        engine.device.up(at(now));
        Ok(())
    }
    wg_down() |engine| {
        engine.device.down();
        Ok(())
    }

    // ---- driving -------------------------------------------------------------------------------

    wg_handle_datagram(
        now: u64, from: *const RawEndpoint, to: *const RawAddress, datagram: *mut u8, length: usize,
        received: *mut RawReceived
    ) |engine| {
        let (received, from) = (Out::new(received)?, from.as_ref().ok_or(Code::NULL)?);
        let datagram = bytes_mut(datagram, length)?;
        let to = to.as_ref().and_then(RawAddress::ip);
        received.set(engine.handle_datagram(at(now), from, to, datagram)?);
        Ok(())
    }
    wg_seal(
        now: u64, buffer: *mut u8, size: usize, length: usize, transmit: *mut RawTransmit
    ) |engine| {
        let transmit = Out::new(transmit)?;
        transmit.set(engine.seal(at(now), bytes_mut(buffer, size)?, length)?);
        Ok(())
    }
    wg_poll_transmit(now: u64, buffer: *mut u8, transmit: *mut RawTransmit) |engine| {
        let (buffer, transmit) = (buffer.cast::<[u8; INITIATION_LEN]>(), Out::new(transmit)?);
        let buffer = buffer.as_mut().ok_or(Code::NULL)?;
        transmit.set(engine.poll_transmit(at(now), buffer)?);
        Ok(())
    }
    wg_poll_timeout(deadline: *mut u64, reason: *mut c_int) |engine| {
        let deadline = Out::new(deadline)?;
        let (time, why) = engine.poll_timeout()?;
        deadline.set(time);
        if let Ok(reason) = Out::new(reason) {
            reason.set(why);
        }
        Ok(())
    }
    wg_handle_timeout(now: u64) |engine| {
        engine.device.handle_timeout(at(now));
        Ok(())
    }
    wg_poll_event(event: *mut RawEvent) |engine| {
        let event = Out::new(event)?;
        event.set(engine.poll_event().ok_or(Code::NONE)?);
        Ok(())
    }

    // ---- status and configuration --------------------------------------------------------------

    wg_get_status(now: u64, peer: u64, status: *mut RawStatus) |engine| {
        let status = Out::new(status)?;
        status.set(engine.status(at(now), peer)?);
        Ok(())
    }
    wg_get_clock() |engine| { Err(engine.standing()) }
    wg_configure(now: u64, from: *const c_char, length: usize, told: *mut RawConfig) |engine| {
        let (to, text) = (Out::new(told)?, bytes(from.cast(), length)?);
        let mut told = RawConfig::NONE;
        let outcome = config::configure(engine, at(now), text, &mut told);
        if matches!(outcome, Ok(()) | Err(Code::CONFIG | Code::TEXT)) {
            to.set(told);
        }
        outcome
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wg_count(wg: *mut Wg, peer: u64, refusal: c_int) -> u32 {
    let mut count = 0;
    // SAFETY: as wg.h has it.
    let _ = unsafe {
        with(wg, |engine| {
            count = engine.count(peer, Code(refusal));
            Ok(())
        })
    };
    count
}

// ---- without an engine -------------------------------------------------------------------------

#[unsafe(no_mangle)]
pub extern "C" fn wg_name(result: c_int) -> *const c_char {
    Code(result).texts().0.as_ptr().cast()
}

#[unsafe(no_mangle)]
pub extern "C" fn wg_strerror(result: c_int) -> *const c_char {
    Code(result).texts().1.as_ptr().cast()
}

#[unsafe(no_mangle)]
pub extern "C" fn wg_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wg_key_from_base64(to: *mut u8, from: *const c_char) -> c_int {
    done((|| {
        let to = Out::new(to.cast())?;
        // SAFETY: as wg.h has it. A pre-shared key is any 32 bytes, and wiped.
        let read: PresharedKey = unsafe { text(from) }?.parse()?;
        to.copy(read.expose());
        Ok(())
    })())
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wg_key_to_base64(to: *mut c_char, from: *const u8) -> c_int {
    done((|| {
        let to = Out::new(to.cast::<[u8; KEY_TEXT_LEN]>())?;
        // SAFETY: as wg.h has it.
        let written = PresharedKey::from_bytes(unsafe { key(from) }?).expose_base64();
        let mut text = [0; KEY_TEXT_LEN];
        text.iter_mut().zip(written.as_str().bytes()).for_each(|(to, byte)| *to = byte);
        to.copy(&text);
        text.zeroize();
        Ok(())
    })())
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wg_public_key(to: *mut u8, from: *const u8) -> c_int {
    done((|| {
        let to = Out::new(to.cast())?;
        // SAFETY: as wg.h has it.
        let private = PrivateKey::from_bytes(unsafe { key(from) }?).ok_or(Code::KEY_ZERO)?;
        to.set(*private.public_key().as_bytes());
        Ok(())
    })())
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wg_parse_address(to: *mut RawAddress, from: *const c_char) -> c_int {
    done((|| {
        let to = Out::new(to)?;
        // SAFETY: as wg.h has it.
        let ip: IpAddr = unsafe { text(from) }?.parse().map_err(|_| Code::ADDRESS)?;
        to.set(ip.into());
        Ok(())
    })())
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wg_read_config(
    from: *const c_char,
    length: usize,
    to: *mut RawConfig,
) -> c_int {
    done((|| {
        let to = Out::new(to)?;
        let mut told = RawConfig::NONE;
        // SAFETY: as wg.h has it.
        let outcome = config::read(unsafe { bytes(from.cast(), length)? }, &mut told);
        to.set(told);
        outcome
    })())
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wg_config_endpoint(
    from: *const c_char,
    length: usize,
    number: usize,
    public_key: *mut u8,
    host: *mut c_char,
    size: usize,
    port: *mut u16,
) -> c_int {
    done((|| {
        let (public_key, port) = (Out::new(public_key.cast())?, Out::new(port)?);
        // SAFETY: as wg.h has it.
        let (text, host) = unsafe { (bytes(from.cast(), length)?, bytes_mut(host.cast(), size)?) };
        let (key, name, number) = config::endpoint(text, number)?;
        let (end, place) =
            host.get_mut(..=name.len()).and_then(<[u8]>::split_last_mut).ok_or(Code::BUFFER)?;
        place.copy_from_slice(name.as_bytes());
        *end = 0;
        public_key.set(key);
        port.set(number);
        Ok(())
    })())
}
