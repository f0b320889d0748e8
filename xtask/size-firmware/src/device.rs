//! Calls of everything public in wg-core but text: settings, packets, status, values.
//!
//! `cargo xtask size` reads which functions are named here, in full, and fails when one is
//! missing.

use core::hint::black_box;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use wg_core::{
    AllowedIp, Arena, ClockUnavailable, Device, Ecn, Endpoint, Increasing, Instant, OpenJob,
    PeerId, PresharedKey, PrivateKey, PublicKey, Refusal, Refusals, SealJob, SendError, Source,
    Storage, Tai64n, Tai64nClock,
};

use crate::board::{
    Taken, Unknown, bytes, call0, call1, call2, call3, call4, call5, drain, fill, word,
};
use crate::text;

/// What a device with one peer, in both families, takes.
pub type OnePeer = Storage<1, 2>;

static STORAGE: Taken<OnePeer> = Taken::new(Storage::new());

/// Calls each one, and with `TEXT` those that print what these give.
#[inline(always)]
pub fn call_device<const TEXT: bool>() {
    let mut device = call1(Device::new::<1, 2>, STORAGE.take());
    call_values::<TEXT>();
    if let Some(peer) = call_settings(&mut device) {
        call_packets(&mut device);
        call_phases::<TEXT>(&mut device);
        call_status(&device, peer);
    }
}

#[inline(never)]
fn instant() -> Instant {
    call1(Instant::from_micros, u64::from(word()) << 32 | u64::from(word()))
}

#[inline(never)]
fn ip() -> IpAddr {
    if word() & 1 == 0 { bytes::<4>().into() } else { bytes::<16>().into() }
}

#[inline(never)]
fn address() -> SocketAddr {
    (ip(), word() as u16).into()
}

fn source() -> Source {
    Source {
        remote: address(),
        local: Some(ip()),
        ecn: call1(Ecn::from_traffic_class, word() as u8),
    }
}

/// A clock with unknown answers.
struct Clock;

impl Tai64nClock for Clock {
    fn next(&mut self) -> Result<Tai64n, ClockUnavailable> {
        if word() == 0 {
            return Err(ClockUnavailable::NotSet);
        }
        Ok(Tai64n::from_bytes(bytes()))
    }
}

#[inline(never)]
fn call_settings(device: &mut Device<'static>) -> Option<PeerId> {
    let now = instant();
    let private = call1(PrivateKey::generate, &mut Unknown);
    black_box(call1(PrivateKey::public_key, &private));
    black_box(call1(PrivateKey::expose, &private));
    call3(Device::set_private_key, device, now, call1(PrivateKey::from_bytes, bytes()).as_ref());
    let public = call1(PublicKey::from_bytes, bytes());
    black_box(call1(PublicKey::as_bytes, &public));
    let peer = call2(Device::add_peer, device, &public).ok()?;
    call2(Device::remove_peer, device, call2(Device::find_peer, device, &public)?);
    drain(call1(Device::peers, device));
    black_box(call2(Device::peer_after, device, peer));
    call2(Device::retain_peers, device, [public]);
    let preshared = call1(PresharedKey::generate, &mut Unknown);
    black_box(call1(PresharedKey::is_none, &preshared));
    black_box(call1(PresharedKey::expose, &preshared));
    call3(Device::set_preshared_key, device, peer, &call1(PresharedKey::from_bytes, bytes()));
    call4(Device::set_endpoint, device, now, peer, address());
    call4(Device::set_persistent_keepalive, device, now, peer, word() as u16);
    call3(Device::connect, device, now, peer);
    let prefix = call2(AllowedIp::new, ip(), word() as u8)?;
    black_box((call1(AllowedIp::addr, prefix), call1(AllowedIp::cidr, prefix)));
    let host = call1(<AllowedIp as From<IpAddr>>::from, ip());
    let _ = black_box(call3(Device::add_allowed_ip, device, peer, host));
    call3(Device::remove_allowed_ip, device, peer, prefix);
    call2(Device::remove_allowed_ips, device, peer);
    call2(Device::set_mtu, device, word() as u16);
    call2(Device::set_handshake_budget, device, word() as u16);
    call2(Device::set_under_load, device, now);
    call2(Device::up, device, now);
    call1(Device::down, device);
    Some(peer)
}

#[inline(never)]
fn call_packets(device: &mut Device<'static>) {
    let mut buf = [0; 1500];
    fill(&mut buf);
    let now = instant();
    let _ = black_box(call5(
        Device::handle_datagram,
        device,
        now,
        &mut Unknown,
        source(),
        &mut buf[..],
    ));
    call2(Device::handle_timeout, device, now);
    let len = word() as usize;
    let _ = black_box(call4(Device::seal, device, now, &mut buf, len));
    black_box(call1(Device::poll_event, device));
    let mut buf = [0; 148];
    black_box(call5(Device::poll_transmit, device, now, &mut Clock, &mut Unknown, &mut buf));
    black_box(call1(Device::poll_timeout, device));
}

#[inline(never)]
fn call_phases<const TEXT: bool>(device: &mut Device<'static>) {
    let mut buf = [0; 1500];
    fill(&mut buf);
    let now = instant();
    let opening = call3(Device::begin_open, device, now, &buf[..]);
    black_box(call2(Device::preview, device, &buf[..]));
    let sealing = call3(Device::begin_seal, device, now, &buf[..]);
    if let (Ok(opening), Ok(sealing), true) = (&opening, &sealing, TEXT) {
        text::call_debug(device, opening, sealing);
    }
    if let Ok(job) = opening {
        let opened = call2(OpenJob::open, job, &mut buf[..]);
        if TEXT {
            text::call_debug_opened(opened.as_ref());
        }
        match opened {
            Ok(opened) => {
                let _ = black_box(call4(Device::commit_open, device, now, source(), opened));
            }
            Err(forged) => {
                black_box(call2(Device::commit_forged, device, forged));
            }
        }
    }
    if let Ok(job) = sealing {
        black_box(call1(SealJob::datagram_len, &job));
        if let Ok(sealed) = call2(SealJob::seal, job, &mut buf[..]) {
            if TEXT {
                text::call_debug_sealed(&sealed);
            }
            let _ = black_box(call3(Device::commit_seal, device, now, sealed));
        }
    }
}

/// Adds up what a device asks for, and has none of it.
struct Adding(usize);

impl<'a> Arena<'a> for Adding {
    fn rows<T: 'a>(&mut self, count: usize, _vacant: fn() -> T) -> Option<&'a mut [T]> {
        self.0 = self.0.checked_add(count.checked_mul(size_of::<T>())?)?;
        Some(&mut [])
    }
}

#[inline(never)]
fn call_status(device: &Device<'static>, peer: PeerId) {
    black_box(call1(Device::public_key, device));
    black_box(call1(Device::private_key, device));
    black_box(call2(Device::preshared_key, device, peer));
    black_box(call1(PeerId::from_bits, call1(PeerId::to_bits, peer)));
    let mut arena = Adding(0);
    black_box(call3(Device::in_arena, &mut arena, word() as usize, word() as usize).is_some());
    black_box(arena.0);
    black_box(call3(Device::peer, device, instant(), peer));
    black_box(call2(Device::endpoint, device, peer));
    black_box((call1(Device::free_peers, device), call1(Device::free_routes, device)));
    drain(call2(Device::allowed_ips, device, peer));
    let refusals = call1(Device::refusals, device);
    black_box(call2(Refusals::count, refusals, Refusal::Malformed));
    drain(call1(Refusals::iter, refusals));
    black_box(call1(Refusal::name, Refusal::Malformed));
    black_box(call1(Device::is_up, device));
    black_box(call2(Device::is_own, device, &bytes::<16>()[..]));
}

#[inline(never)]
fn call_values<const TEXT: bool>() {
    let (early, late) = (instant(), instant());
    black_box((
        call1(Instant::from_millis, word().into()),
        call1(Instant::from_secs, word().into()),
    ));
    black_box(call1(Instant::as_micros, early));
    let age = call2(Instant::saturating_since, late, early);
    black_box(call2(Instant::saturating_add, early, age));
    black_box(call3(Instant::has_reached, late, early, age));

    let stamp = call2(Tai64n::from_unix, word().into(), word());
    black_box((call1(Tai64n::to_unix, stamp), call1(Tai64n::as_bytes, &stamp)));
    let stamp = call1(Tai64n::successor, call1(Tai64n::from_bytes, bytes()));
    let time = || (word() != 0).then(|| Duration::new(word().into(), word() % 1_000_000_000));
    let mut clock = call2(Increasing::new, time, Some(stamp));
    let _ = black_box(call1(<Increasing<_> as Tai64nClock>::next, &mut clock));
    black_box(call1(Increasing::last, &clock));

    if TEXT {
        let send = SendError::BufferTooSmall { needed: word() as usize };
        text::call_messages(Refusal::Malformed, send, stamp, early);
    }
    let ecn = call1(Ecn::from_traffic_class, word() as u8);
    black_box(call1(Ecn::traffic_class, ecn));
    let source = call1(<Source as From<SocketAddr>>::from, address());
    black_box(call1(<Endpoint as From<Source>>::from, source));
    black_box(call0(OnePeer::new as fn() -> OnePeer));
}
