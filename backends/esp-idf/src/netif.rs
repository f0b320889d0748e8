#![allow(unsafe_code)] // lwIP is C. Nothing else of this crate is unsafe.
//! The inside of the tunnel as an interface of lwIP.

use core::ffi::{c_char, c_void};
use core::fmt;
use core::net::IpAddr;
use core::ptr::NonNull;
use std::sync::Arc;

use crate::engine::Inside;
use crate::outbound::Outbound;
use crate::settings::Settings;

/// The interface as C has it.
#[repr(C)]
struct RawNetif {
    _opaque: [u8; 0],
}

/// A packet of lwIP.
#[repr(C)]
struct Pbuf {
    _opaque: [u8; 0],
}

/// `struct wg_address`.
#[repr(C)]
struct Address {
    bytes: [u8; 16],
    is_ipv6: u8,
    prefix_len: u8,
}

/// `struct wg_netif_config`.
#[repr(C)]
struct Config {
    context: *const c_void,
    output: extern "C" fn(*const c_void, *const Pbuf, u16) -> bool,
    addresses: *const Address,
    address_count: usize,
    routes: *const Address,
    route_count: usize,
    dns_servers: *const Address,
    dns_server_count: usize,
    mtu: u16,
    default_route: bool,
}

unsafe extern "C" {
    fn wg_netif_add(config: *const Config, added: *mut *mut RawNetif) -> i32;
    fn wg_netif_remove(netif: *mut RawNetif);
    fn wg_netif_input(netif: *mut RawNetif, packet: *const u8, length: u16) -> bool;
    fn wg_netif_gather(packet: *const Pbuf, to: *mut u8, length: u16);
    #[cfg_attr(not(target_os = "espidf"), allow(dead_code))]
    fn wg_netif_default_name(name: *mut c_char);
    #[cfg(target_os = "espidf")]
    fn wg_underlay_bind(socket: i32, name: *const c_char) -> i32;
    #[cfg(target_os = "espidf")]
    fn wg_eventfd_prepare() -> i32;
}

/// Why lwIP does not take an interface. Nothing is changed then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum AddError {
    /// There is no memory.
    NoMemory,
    /// An interface has one of the addresses.
    AddressInUse,
    /// More than one address of IPv4, or more of IPv6 than lwIP has room for.
    TooManyAddresses,
}

impl fmt::Display for AddError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoMemory => "lwIP has no memory for an interface",
            Self::AddressInUse => {
                "an interface has the tunnel's address already: stop the tunnel that has it, or \
                 choose another address"
            }
            Self::TooManyAddresses => {
                "lwIP has room for one address of IPv4 and for two of IPv6: leave out the others"
            }
        })
    }
}

impl core::error::Error for AddError {}

/// The tunnel's interface, up while this exists.
#[derive(Debug)]
pub struct Netif {
    raw: NonNull<RawNetif>,
    /// What C holds a pointer to.
    _outbound: Arc<Outbound>,
}

// SAFETY: every function of C that takes the pointer may be called from any thread, and `Netif`
// lends it to one at a time.
unsafe impl Send for Netif {}

impl Netif {
    /// Adds an interface with the addresses, the routes and the name servers of `settings`.
    /// Packets that lwIP sends by it go into `outbound`.
    ///
    /// # Errors
    /// See [`AddError`].
    pub fn add(settings: &Settings, outbound: Arc<Outbound>) -> Result<Self, AddError> {
        let addresses: Vec<_> =
            settings.addresses.iter().map(|own| Address::new(own.addr(), own.cidr())).collect();
        let routes: Vec<_> =
            settings.routes().map(|prefix| Address::new(prefix.addr(), prefix.cidr())).collect();
        let dns_servers: Vec<_> =
            settings.dns_servers.iter().map(|server| Address::new(*server, 0)).collect();
        let config = Config {
            context: Arc::as_ptr(&outbound).cast(),
            output,
            addresses: addresses.as_ptr(),
            address_count: addresses.len(),
            routes: routes.as_ptr(),
            route_count: routes.len(),
            dns_servers: dns_servers.as_ptr(),
            dns_server_count: dns_servers.len(),
            mtu: settings.mtu,
            default_route: settings.default_route,
        };
        let mut added = core::ptr::null_mut();
        // SAFETY: the vectors outlive the call, which copies what it keeps, but for `context`:
        // that is valid until `drop` has removed the interface, since `_outbound` owns it.
        let result = unsafe { wg_netif_add(&raw const config, &raw mut added) };
        match (result, NonNull::new(added)) {
            (0, Some(raw)) => Ok(Self { raw, _outbound: outbound }),
            (2, _) => Err(AddError::AddressInUse),
            (3, _) => Err(AddError::TooManyAddresses),
            _ => Err(AddError::NoMemory),
        }
    }
}

impl Address {
    fn new(addr: IpAddr, prefix_len: u8) -> Self {
        let mut bytes = [0; 16];
        match addr {
            IpAddr::V4(addr) => {
                let [a, b, c, d, ..] = &mut bytes;
                [*a, *b, *c, *d] = addr.octets();
            }
            IpAddr::V6(addr) => bytes = addr.octets(),
        }
        Self { bytes, is_ipv6: addr.is_ipv6().into(), prefix_len }
    }
}

impl Inside for Netif {
    fn deliver(&mut self, packet: &[u8]) -> bool {
        let Ok(length) = u16::try_from(packet.len()) else { return false };
        // SAFETY: the interface exists, and C reads `length` bytes before it returns.
        unsafe { wg_netif_input(self.raw.as_ptr(), packet.as_ptr(), length) }
    }
}

impl Drop for Netif {
    fn drop(&mut self) {
        // SAFETY: the interface exists, and `deliver` is not under way: this is its only owner.
        // From the return on C does not call `output` any more, so `_outbound` may go.
        unsafe { wg_netif_remove(self.raw.as_ptr()) }
    }
}

/// Takes a packet that lwIP sends. Called under the core lock.
extern "C" fn output(context: *const c_void, packet: *const Pbuf, length: u16) -> bool {
    // SAFETY: `context` is what `add` gave, alive as long as the interface is there.
    let outbound = unsafe { &*context.cast::<Outbound>() };
    outbound.offer(length.into(), |to| {
        // SAFETY: lwIP lends the packet for this call, and `to` has `length` bytes.
        unsafe { wg_netif_gather(packet, to.as_mut_ptr(), length) }
    })
}

/// The name of lwIP's default interface; empty when there is none.
#[cfg_attr(not(target_os = "espidf"), allow(dead_code))]
pub(crate) fn default_interface() -> String {
    let mut name = [0_u8; 6];
    // SAFETY: C writes at most 6 bytes, the last of them zero.
    unsafe { wg_netif_default_name(name.as_mut_ptr().cast()) };
    let text = core::ffi::CStr::from_bytes_until_nul(&name).unwrap_or_default();
    text.to_string_lossy().into_owned()
}

/// Binds a socket of lwIP to the interface of this name.
#[cfg(target_os = "espidf")]
pub(crate) fn bind_socket(socket: &socket2::Socket, name: &str) -> std::io::Result<()> {
    use std::os::fd::AsRawFd;

    let name = std::ffi::CString::new(name).map_err(|_| std::io::ErrorKind::InvalidInput)?;
    // SAFETY: the descriptor is open, and the name ends in a zero.
    match unsafe { wg_underlay_bind(socket.as_raw_fd(), name.as_ptr()) } {
        0 => Ok(()),
        errno => Err(std::io::Error::from_raw_os_error(errno)),
    }
}

/// Has ESP-IDF provide eventfd.
#[cfg(target_os = "espidf")]
pub(crate) fn prepare_eventfd() -> std::io::Result<()> {
    // SAFETY: it takes no arguments, and may be called again.
    match unsafe { wg_eventfd_prepare() } {
        0 => Ok(()),
        error => Err(std::io::Error::other(format!("esp_vfs_eventfd_register: error {error}"))),
    }
}
