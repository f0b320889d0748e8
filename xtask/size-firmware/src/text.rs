//! Calls of everything public in wg-core that reads or writes text: the configuration, keys,
//! addresses and messages for people.
//!
//! `cargo xtask size` reads which functions are named here, in full, and fails when one is
//! missing.

use core::fmt::{self, Debug, Display, Formatter, LowerHex, Write};
use core::hint::black_box;
use core::net::IpAddr;
use core::str::FromStr;

use wg_core::config::{
    Config, HostPort, InterfaceAddress, ParseError, ParseErrorKind, Peer, Peers,
};
use wg_core::{
    AddPeerError, AllowedIp, ClockUnavailable, Device, Forged, Instant, KeyText, OpenJob, Opened,
    ParseAllowedIpError, ParseKeyError, PresharedKey, PrivateKey, PublicKey, Refusal, RoutesFull,
    SealJob, Sealed, SendError, Tai64n,
};

use crate::board::{Console, call1, call2, drain, text};

/// Calls each one.
#[inline(never)]
pub fn call_text() {
    let mut buf = [0; 512];
    let text = text(&mut buf);
    match call1(Config::parse, text) {
        Ok(config) => call_config(&config),
        Err(error) => show(&error, <ParseError as Display>::fmt),
    }
    call_keys(text);
    call_addresses(text);
}

/// Calls what prints the types of the device's calls.
#[inline(never)]
pub fn call_debug(device: &Device<'static>, job: &OpenJob, sealing: &SealJob) {
    show(device, <Device<'_> as Debug>::fmt);
    show(job, <OpenJob as Debug>::fmt);
    show(sealing, <SealJob as Debug>::fmt);
}

/// Calls what prints an opened packet.
#[inline(never)]
pub fn call_debug_opened(opened: Result<&Opened<'_>, &Forged>) {
    match opened {
        Ok(opened) => show(opened, <Opened<'_> as Debug>::fmt),
        Err(forged) => show(forged, <Forged as Debug>::fmt),
    }
}

/// Calls what prints a sealed packet.
#[inline(never)]
pub fn call_debug_sealed(sealed: &Sealed<'_>) {
    show(sealed, <Sealed<'_> as Debug>::fmt);
}

/// Calls what prints values and errors.
#[inline(never)]
pub fn call_messages(refusal: Refusal, send: SendError, stamp: Tai64n, instant: Instant) {
    black_box(call1(Refusal::sentence, refusal));
    show(&refusal, <Refusal as Display>::fmt);
    show(&send, <SendError as Display>::fmt);
    show(&stamp, <Tai64n as Display>::fmt);
    show(&stamp, <Tai64n as Debug>::fmt);
    show(&instant, <Instant as Debug>::fmt);
    show(&AddPeerError::Full, <AddPeerError as Display>::fmt);
    show(&RoutesFull, <RoutesFull as Display>::fmt);
    show(&ClockUnavailable::NotSet, <ClockUnavailable as Display>::fmt);
}

/// Prints with one of the engine's functions.
fn show<T: ?Sized>(value: &T, print: fn(&T, &mut Formatter<'_>) -> fmt::Result) {
    struct Shown<'t, T: ?Sized>(&'t T, fn(&T, &mut Formatter<'_>) -> fmt::Result);

    impl<T: ?Sized> Display for Shown<'_, T> {
        fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
            black_box(self.1)(self.0, f)
        }
    }

    let _ = write!(Console, "{}", Shown(value, print));
}

#[inline(never)]
fn call_config(config: &Config<'_>) {
    let _ = call2(Config::write_with_secrets, config, &mut Console);
    show(config, <Config<'_> as Display>::fmt);
    show(config, <Config<'_> as Debug>::fmt);
    black_box(call1(Config::private_key, config));
    black_box((call1(Config::listen_port, config), call1(Config::fw_mark, config)));
    black_box(call1(Config::mtu, config));
    drain(call1(Config::addresses, config));
    drain(call1(Config::dns_servers, config));
    drain(call1(Config::dns_search, config));
    drain(call1(Config::host_settings, config));
    let mut peers = call1(Config::peers, config);
    while let Some(peer) = call1(<Peers<'_> as Iterator>::next, &mut peers) {
        show(&peer, <Peer<'_> as Debug>::fmt);
        black_box((call1(Peer::public_key, &peer), call1(Peer::preshared_key, &peer)));
        black_box((call1(Peer::endpoint, &peer), call1(Peer::persistent_keepalive, &peer)));
        drain(call1(Peer::allowed_ips, &peer));
    }
}

#[inline(never)]
fn call_keys(text: &str) {
    for key in [call1(<PrivateKey as FromStr>::from_str, text), call1(PrivateKey::from_hex, text)] {
        match key {
            Ok(key) => {
                show(&key, <PrivateKey as Debug>::fmt);
                let (base64, hex) =
                    (call1(PrivateKey::expose_base64, &key), call1(PrivateKey::expose_hex, &key));
                black_box((call1(KeyText::as_str, &base64), call1(KeyText::as_str, &hex)));
                show(&hex, <KeyText as Debug>::fmt);
            }
            Err(error) => show(&error, <ParseKeyError as Display>::fmt),
        }
    }
    let (base64, hex) =
        (call1(<PresharedKey as FromStr>::from_str, text), call1(PresharedKey::from_hex, text));
    if let (Ok(base64), Ok(hex)) = (base64, hex) {
        show(&hex, <PresharedKey as Debug>::fmt);
        black_box(call1(PresharedKey::expose_base64, &base64));
        black_box(call1(PresharedKey::expose_hex, &hex));
    }
    let (base64, hex) =
        (call1(<PublicKey as FromStr>::from_str, text), call1(PublicKey::from_hex, text));
    if let (Ok(base64), Ok(hex)) = (base64, hex) {
        show(&base64, <PublicKey as Display>::fmt);
        show(&base64, <PublicKey as Debug>::fmt);
        show(&hex, <PublicKey as LowerHex>::fmt);
    }
}

#[inline(never)]
fn call_addresses(text: &str) {
    match call1(<AllowedIp as FromStr>::from_str, text) {
        Ok(prefix) => show(&prefix, <AllowedIp as Display>::fmt),
        Err(error) => show(&error, <ParseAllowedIpError as Display>::fmt),
    }
    if let Ok(address) = call1(<InterfaceAddress as FromStr>::from_str, text) {
        show(&address, <InterfaceAddress as Display>::fmt);
        let addr: IpAddr = call1(InterfaceAddress::addr, address);
        let cidr = call1(InterfaceAddress::cidr, address);
        black_box(call2(InterfaceAddress::new, addr, cidr));
        black_box(call1(InterfaceAddress::host, addr));
    }
    match call1(HostPort::parse, text) {
        Ok(endpoint) => {
            show(&endpoint, <HostPort<'_> as Display>::fmt);
            black_box((call1(HostPort::host, &endpoint), call1(HostPort::port, &endpoint)));
            black_box(call1(HostPort::socket_addr, &endpoint));
        }
        Err(kind) => show(&kind, <ParseErrorKind as Display>::fmt),
    }
}
