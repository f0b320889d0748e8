#![allow(unsafe_code)] // lwIP and the tests' own C, in host/. All of it is here.
#![allow(dead_code)] // Each test crate uses a part.
//! The lwIP of this process, and the sockets of its programs.

use core::ffi::{CStr, c_char, c_int, c_long, c_void};
use std::ffi::CString;
use std::io;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

unsafe extern "C" {
    fn host_start();
    fn host_wifi_packets() -> u32;
    fn host_default(name: *mut c_char);
    fn host_dns(number: u8, text: *mut c_char);
    fn host_underlay(name: *mut c_char);
    fn host_turn_off_wifi();
    fn host_turn_on_wifi();
    fn host_plug_in();
    fn host_unplug();
    fn host_interfaces() -> u32;
    fn host_connect(is_tcp: bool, address: *const c_char, port: u16, timeout_ms: c_int) -> c_int;
    fn host_send(socket: c_int, bytes: *const c_void, length: usize) -> c_long;
    fn host_receive(socket: c_int, bytes: *mut c_void, length: usize) -> c_long;
    fn host_close(socket: c_int) -> c_int;
    fn host_bind_device(socket: c_int, name: *const c_char) -> c_int;
    fn host_send_chain(address: *const c_char, port: u16, pieces: u32, piece: u16) -> c_int;
    fn host_exhaust();
    fn host_relieve();
    fn nvs_fail(open: i32, set: i32);
    fn nvs_erase();
    fn nvs_damage(key: *const c_char);
    fn nvs_open_handles() -> c_int;
}

/// lwIP, for one test at a time.
pub(crate) struct Stack(#[allow(dead_code)] MutexGuard<'static, ()>);

impl Stack {
    pub(crate) fn lock() -> Self {
        static ONE: Mutex<()> = Mutex::new(());
        static STARTED: OnceLock<()> = OnceLock::new();
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: once, before every other call.
        STARTED.get_or_init(|| unsafe { host_start() });
        Self(one)
    }

    /// Packets that left by Wi-Fi.
    pub(crate) fn wifi_packets(&self) -> u32 {
        // SAFETY: takes nothing.
        unsafe { host_wifi_packets() }
    }

    pub(crate) fn interfaces(&self) -> u32 {
        // SAFETY: takes nothing.
        unsafe { host_interfaces() }
    }

    pub(crate) fn default_interface(&self) -> String {
        let mut name = [0_u8; 6];
        // SAFETY: at most 6 bytes are written.
        unsafe { host_default(name.as_mut_ptr().cast()) };
        text(&name)
    }

    /// The interface beneath a tunnel.
    pub(crate) fn underlay(&self) -> String {
        let mut name = [0_u8; 6];
        // SAFETY: at most 6 bytes are written.
        unsafe { host_underlay(name.as_mut_ptr().cast()) };
        text(&name)
    }

    /// Removes Wi-Fi, until it is turned on.
    pub(crate) fn turn_off_wifi(&self) {
        // SAFETY: Wi-Fi is there.
        unsafe { host_turn_off_wifi() }
    }

    pub(crate) fn turn_on_wifi(&self) {
        // SAFETY: Wi-Fi is not there.
        unsafe { host_turn_on_wifi() }
    }

    /// Puts Ethernet in Wi-Fi's place.
    pub(crate) fn plug_in(&self) {
        // SAFETY: Wi-Fi is there.
        unsafe { host_plug_in() }
    }

    /// Puts Wi-Fi in Ethernet's place.
    pub(crate) fn unplug(&self) {
        // SAFETY: Ethernet is there.
        unsafe { host_unplug() }
    }

    pub(crate) fn dns(&self, number: u8) -> String {
        let mut name = [0_u8; 48];
        // SAFETY: at most 48 bytes are written.
        unsafe { host_dns(number, name.as_mut_ptr().cast()) };
        text(&name)
    }

    pub(crate) fn tcp(&self, address: &str, port: u16) -> io::Result<Socket> {
        connect(true, address, port, 20_000)
    }

    pub(crate) fn udp(&self, address: &str, port: u16, timeout_ms: i32) -> io::Result<Socket> {
        connect(false, address, port, timeout_ms)
    }

    /// A socket that sends by Wi-Fi alone, as those beneath a tunnel do.
    pub(crate) fn socket_by_wifi() -> Socket {
        let socket = connect(false, "203.0.113.1", 51820, 1).unwrap();
        socket.bind_device("st1");
        socket
    }

    /// Sends a datagram from a chain of pbufs, the bytes counting up; lwIP's error.
    pub(crate) fn send_chain(&self, address: &str, port: u16, pieces: u32, piece: u16) -> i32 {
        let address = CString::new(address).unwrap();
        // SAFETY: the text ends in a zero.
        unsafe { host_send_chain(address.as_ptr(), port, pieces, piece) }
    }

    /// Takes all memory from lwIP for as long as `body` runs.
    pub(crate) fn without_memory<R>(&self, body: impl FnOnce() -> R) -> R {
        // SAFETY: they take nothing.
        unsafe { host_exhaust() };
        let result = body();
        // SAFETY: as above.
        unsafe { host_relieve() };
        result
    }
}

/// The NVS of this process, empty and without faults when it is taken and afterwards.
pub(crate) struct Nvs;

impl Nvs {
    pub(crate) fn empty(_: &Stack) -> Self {
        // SAFETY: takes nothing; the stack's owner is the only one to use NVS.
        unsafe { nvs_erase() };
        Self
    }

    /// Fails from now on with these errors, when it is opened and when it is written.
    pub(crate) fn fail(&self, open: i32, set: i32) {
        // SAFETY: takes numbers.
        unsafe { nvs_fail(open, set) }
    }

    pub(crate) fn erase(&self) {
        // SAFETY: takes nothing.
        unsafe { nvs_erase() }
    }

    /// Cuts a record short.
    pub(crate) fn damage(&self, key: &CStr) {
        // SAFETY: the text ends in a zero.
        unsafe { nvs_damage(key.as_ptr()) }
    }

    pub(crate) fn open_handles(&self) -> i32 {
        // SAFETY: takes nothing.
        unsafe { nvs_open_handles() }
    }
}

impl Drop for Nvs {
    fn drop(&mut self) {
        self.fail(0, 0);
        self.erase();
    }
}

/// A connected socket of lwIP.
#[derive(Debug)]
pub(crate) struct Socket(c_int);

impl Socket {
    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        // SAFETY: the bytes are there for the call.
        result(unsafe { host_send(self.0, bytes.as_ptr().cast(), bytes.len()) })
    }

    pub(crate) fn receive(&self, bytes: &mut [u8]) -> io::Result<usize> {
        // SAFETY: as many bytes are written as there are.
        result(unsafe { host_receive(self.0, bytes.as_mut_ptr().cast(), bytes.len()) })
    }

    pub(crate) fn bind_device(&self, name: &str) {
        let name = CString::new(name).unwrap();
        // SAFETY: the text ends in a zero.
        assert_eq!(unsafe { host_bind_device(self.0, name.as_ptr()) }, 0);
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // SAFETY: the socket is open.
        unsafe { host_close(self.0) };
    }
}

fn connect(is_tcp: bool, address: &str, port: u16, timeout_ms: i32) -> io::Result<Socket> {
    let address = CString::new(address).unwrap();
    // SAFETY: the text ends in a zero.
    let socket = unsafe { host_connect(is_tcp, address.as_ptr(), port, timeout_ms) };
    result(c_long::from(socket)).map(|_| Socket(socket))
}

fn result(value: c_long) -> io::Result<usize> {
    usize::try_from(value).map_err(|_| io::Error::from_raw_os_error(value.unsigned_abs() as i32))
}

fn text(bytes: &[u8]) -> String {
    CStr::from_bytes_until_nul(bytes).unwrap().to_str().unwrap().to_owned()
}
