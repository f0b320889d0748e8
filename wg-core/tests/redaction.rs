//! No `Debug` and no `Display` shows a secret, in whatever spelling.
//!
//! To put a type under watch, add a line that ends in `watch.debug(&value)` or
//! `watch.display(&value)`; to protect another secret, a `watch.secret(...)`.

mod oracle;
mod pair;

use core::fmt::{Debug, Display};

use oracle::{Lone, Session, dh};
use pair::{B_OUTER, Node, Room, node};
use wg_core::config::Config;
use wg_core::{
    AddPeerError, AllowedIp, ClockUnavailable, Device, Ecn, INITIATION_LEN, Instant, PresharedKey,
    PrivateKey, PublicKey, Refusal, RoutesFull, SendError, Source, Tai64n,
};

/// Every byte differs from the others, so that no window of it turns up by chance.
const PRIVATE: [u8; 32] = [
    0xb8, 0xe7, 0x09, 0x95, 0x1d, 0xf3, 0xc2, 0x8a, 0x6f, 0xd4, 0x03, 0x9e, 0x57, 0xab, 0x10, 0xec,
    0x84, 0x3b, 0xf9, 0x62, 0xd1, 0x0e, 0xa6, 0x7c, 0x91, 0x28, 0xce, 0xb3, 0x15, 0xff, 0x46, 0x5a,
];
const PRESHARED: [u8; 32] = [
    0xf0, 0x1b, 0x8d, 0xa2, 0x36, 0xc9, 0x7e, 0x05, 0xdb, 0x93, 0x4c, 0xe8, 0x21, 0xb7, 0x6a, 0x9d,
    0x00, 0xfc, 0x53, 0xae, 0x18, 0xc5, 0x8f, 0x72, 0xe1, 0x0b, 0xd6, 0x3f, 0x99, 0xa4, 0x67, 0xba,
];

#[test]
fn key_types_are_silent() {
    let watch = Watch::over_the_keys();
    let private = PrivateKey::from_bytes(PRIVATE).unwrap();
    let preshared = PresharedKey::from_bytes(PRESHARED);
    watch.debug(&private);
    watch.debug(&preshared);
    watch.debug(&private.expose_base64());
    watch.debug(&private.expose_hex());
    watch.debug(&preshared.expose_base64());
    watch.debug(&private.public_key());
    watch.display(&private.public_key());
    watch.debug(&PrivateKey::from_bytes(PRIVATE));
    assert_eq!(format!("{private:?} {preshared:?}"), "PrivateKey(redacted) PresharedKey(redacted)");
    assert_eq!(format!("{:?}", private.expose_hex()), "KeyText(redacted)");
}

#[test]
fn refused_keys_are_not_repeated() {
    let watch = Watch::over_the_keys();
    let private = PrivateKey::from_bytes(PRIVATE).unwrap();
    let (base64, hex) = (private.expose_base64(), private.expose_hex());
    for text in [base64.as_str(), hex.as_str()] {
        for refused in [&text[1..], &text[..40], &text.replace('0', "-"), &format!("{text}=")] {
            watch.error(refused.parse::<PrivateKey>().err());
            watch.error(PrivateKey::from_hex(refused).err());
            watch.error(refused.parse::<PublicKey>().err());
            watch.error(PresharedKey::from_hex(refused).err());
        }
    }
}

#[test]
fn configurations_are_silent_whatever_is_wrong_with_them() {
    let watch = Watch::over_the_keys();
    let text = format!(
        "[Interface]\nPrivateKey = {}\n[Peer]\nPublicKey = {}\nPresharedKey = {}\n",
        PrivateKey::from_bytes(PRIVATE).unwrap().expose_base64().as_str(),
        PublicKey::from_bytes([9; 32]),
        PresharedKey::from_bytes(PRESHARED).expose_base64().as_str(),
    );
    let config = Config::parse(&text).unwrap();
    watch.debug(&config);
    watch.display(&config);
    config.peers().for_each(|peer| watch.debug(&peer));
    // The keys stand where a section, a name or another value is expected.
    for at in 0..text.len() {
        for other in ["", "\n", "=", "-", "\nDNS = "] {
            let broken = format!("{}{other}{}", &text[..at], &text[at + 1..]);
            watch.error(Config::parse(&broken).err());
        }
    }
}

/// A device with everything secret in it: a session, a handshake, a cookie.
fn busy() -> (Watch, Lone, Session) {
    let mut device = Device::new(Box::leak(Box::new(Room::new())));
    device.set_private_key(Instant::ZERO, PrivateKey::from_bytes(PRIVATE).as_ref());
    let mut lone = Lone::with(Node { device, ..node(2, B_OUTER) });
    lone.set_preshared(PRESHARED);
    let session = lone.called();
    let cookie = *PRESHARED.last_chunk::<16>().unwrap();
    let initiation = lone.initiate().bytes;
    lone.wait(core::time::Duration::from_secs(1));
    let response = lone.hear(&initiation).unwrap().reply();
    let reply = oracle::cookie_reply(&lone.us.public, &response, cookie);
    lone.hear(&reply).unwrap();

    let mut watch = Watch::over_the_keys();
    watch.secret("static-static secret", &dh(&lone.us.private, &lone.them));
    watch.secret("receiving key", &session.send);
    watch.secret("sending key", &session.receive);
    (watch, lone, session)
}

#[test]
fn a_device_and_what_it_tells_are_silent() {
    let (watch, mut lone, mut session) = busy();
    watch.debug(&lone.node.device);
    watch.debug(&lone.peer);
    let status = lone.node.status(lone.now, lone.peer);
    watch.debug(&status);
    watch.debug(&status.connection);
    watch.debug(lone.node.device.refusals());
    watch.debug(&lone.node.device.poll_timeout());
    watch.debug(&lone.node.device.allowed_ips(lone.peer).collect::<Vec<_>>());
    lone.node.device.set_persistent_keepalive(lone.now, lone.peer, 5);
    let mut buf = [0; INITIATION_LEN];
    let (clock, rng) = (&mut lone.node.clock, &mut lone.node.rng);
    watch.debug(&lone.node.device.poll_transmit(lone.now, clock, rng, &mut buf));
    watch.debug(&lone.node.device.poll_event());

    // Datagrams in, and each thing that they can be.
    let source = Source::from(lone.home);
    watch.debug(&source);
    let initiation = lone.initiate().bytes;
    let messages = [session.seal(&lone.incoming(5)), session.seal(&[]), initiation, vec![0; 5]];
    for mut message in messages {
        lone.wait(core::time::Duration::from_secs(1));
        let (device, rng) = (&mut lone.node.device, &mut lone.node.rng);
        watch.debug(&device.handle_datagram(lone.now, rng, source, &mut message));
    }
    watch.debug(&lone.node.device);
}

#[test]
fn jobs_are_silent_in_every_phase() {
    let (watch, mut lone, mut session) = busy();
    let device = &mut lone.node.device;
    let packet = pair::packet(pair::B_INNER, pair::A_INNER, 9, 9);
    let job = device.begin_seal(lone.now, &packet).unwrap();
    watch.debug(&job);
    let mut buf = [&[0; 16], &packet[..], &[0; 31]].concat();
    let sealed = job.seal(&mut buf).unwrap();
    watch.debug(&sealed);
    watch.debug(&device.commit_seal(lone.now, sealed));

    let mut datagram = session.seal(&packet);
    let job = device.begin_open(lone.now, &datagram).unwrap();
    watch.debug(&job);
    datagram[20] ^= 1;
    watch.debug(&job.open(&mut datagram.clone()).unwrap_err());
    datagram[20] ^= 1;
    let opened = device.begin_open(lone.now, &datagram).unwrap().open(&mut datagram).unwrap();
    watch.debug(&opened);
    watch.debug(&device.commit_open(lone.now, lone.home.into(), opened));
}

#[test]
fn errors_and_small_types_are_silent() {
    let (watch, lone, _) = busy();
    for refusal in Refusal::ALL {
        watch.error(Some(*refusal));
        watch.error(Some(SendError::Refused(*refusal)));
    }
    watch.error(Some(SendError::NoSession(lone.peer)));
    watch.error(Some(SendError::BufferTooSmall { needed: 5 }));
    watch.error(Some(AddPeerError::Full));
    watch.error(Some(AddPeerError::OwnKey));
    watch.error(Some(RoutesFull));
    watch.error(Some(ClockUnavailable::NotSet));
    watch.error("10.0.0.0/99".parse::<AllowedIp>().err());
    watch.error(Some(Tai64n::from_unix(1, 2)));
    watch.debug(&Ecn::CongestionExperienced);
    watch.debug(&lone.now);
}

/// Secrets, and an eye on what is printed.
struct Watch {
    secrets: Vec<(&'static str, Vec<u8>)>,
}

impl Watch {
    fn over_the_keys() -> Self {
        let mut watch = Self { secrets: Vec::new() };
        watch.secret("private key", PrivateKey::from_bytes(PRIVATE).unwrap().expose());
        watch.secret("preshared key", &PRESHARED);
        watch
    }

    fn secret(&mut self, name: &'static str, bytes: &[u8]) {
        assert!(bytes.len() >= WINDOW, "{name} is too short to be recognised");
        self.secrets.push((name, bytes.to_vec()));
    }

    #[track_caller]
    fn debug(&self, value: &impl Debug) {
        for text in [format!("{value:?}"), format!("{value:#?}"), format!("{value:02x?}")] {
            self.text(&text);
        }
    }

    #[track_caller]
    fn display(&self, value: &impl Display) {
        self.text(&value.to_string());
    }

    #[track_caller]
    fn error(&self, error: Option<impl Debug + Display>) {
        if let Some(error) = error {
            self.debug(&error);
            self.display(&error);
        }
    }

    #[track_caller]
    fn text(&self, text: &str) {
        for (name, secret) in &self.secrets {
            if let Some(spelling) = leak(text, secret) {
                panic!("the {name} is printed as {spelling}: {text}");
            }
        }
    }
}

/// So many bytes of a secret in a row are a leak.
const WINDOW: usize = 8;

/// The spelling in which `text` shows eight bytes in a row of `secret`.
fn leak(text: &str, secret: &[u8]) -> Option<&'static str> {
    let lower = text.to_ascii_lowercase();
    let numbers = number_lists(&lower);
    let unescaped = unescape(text);
    // The URL-safe alphabet in terms of the usual one.
    let base64 = text.replace('-', "+").replace('_', "/");
    secret.windows(WINDOW).find_map(|window| {
        let hex: String = window.iter().map(|byte| format!("{byte:02x}")).collect();
        let shows = |bytes: &Vec<u8>| bytes.windows(WINDOW).any(|shown| shown == window);
        if lower.contains(&hex) {
            Some("hex")
        } else if (0..3).any(|alignment| base64.contains(&base64_inside(window, alignment))) {
            Some("base64")
        } else if numbers.iter().any(shows) {
            Some("a list of numbers")
        } else if shows(&unescaped) {
            Some("a byte string")
        } else {
            None
        }
    })
}

/// The base64 digits that `window` alone decides when it begins `2 * alignment` bits after
/// the last whole digit.
fn base64_inside(window: &[u8], alignment: usize) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits: Vec<usize> = window
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |bit| usize::from(byte >> bit & 1)))
        .collect();
    bits[2 * alignment..]
        .chunks_exact(6)
        .map(|digit| char::from(DIGITS[digit.iter().fold(0, |value, bit| value << 1 | bit)]))
        .collect()
}

/// The bytes of all lists of numbers in a text: decimal or hex, of one to sixteen bytes each,
/// in either byte order, whatever stands between them.
fn number_lists(lower: &str) -> Vec<Vec<u8>> {
    let words = || lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty());
    let mut lists = Vec::new();
    for (radix, width) in [10, 16].into_iter().flat_map(|r| [1, 2, 4, 8, 16].map(|w| (r, w))) {
        let (mut big, mut little) = (Vec::new(), Vec::new());
        for word in words() {
            let digits = word.strip_prefix("0x").or_else(|| word.strip_prefix('x')).unwrap_or(word);
            let number = u128::from_str_radix(digits, radix).ok();
            match number.filter(|number| number.checked_shr(8 * width as u32).unwrap_or(0) == 0) {
                Some(number) => {
                    big.extend_from_slice(&number.to_be_bytes()[16 - width..]);
                    little.extend_from_slice(&number.to_le_bytes()[..width]);
                }
                None => {
                    lists.extend([core::mem::take(&mut big), core::mem::take(&mut little)]);
                }
            }
        }
        lists.extend([big, little]);
    }
    lists
}

/// The bytes of a text in which some may be written as in a Rust string.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let (byte, after) = match rest {
            [b'\\', b'x', high, low, after @ ..] => {
                let digits = String::from_utf8_lossy(&[*high, *low]).into_owned();
                (u8::from_str_radix(&digits, 16).unwrap_or(b'x'), after)
            }
            [b'\\', b'n', after @ ..] => (b'\n', after),
            [b'\\', b'r', after @ ..] => (b'\r', after),
            [b'\\', b't', after @ ..] => (b'\t', after),
            [b'\\', b'0', after @ ..] => (0, after),
            [b'\\', quoted, after @ ..] => (*quoted, after),
            _ => (*first, tail),
        };
        bytes.push(byte);
        rest = after;
    }
    bytes
}

/// The ways in which a part of a secret has been seen in logs.
fn spellings(bytes: &[u8]) -> Vec<String> {
    use base64ct::{Base64, Base64UrlUnpadded, Encoding};
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let list = |separator: &str| {
        bytes.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(separator)
    };
    let mut spellings = vec![
        format!("{bytes:?}"),
        format!("{bytes:#?}"),
        format!("{bytes:x?}"),
        format!("{bytes:#04X?}"),
        hex.to_uppercase(),
        hex,
        list(":"),
        list(" "),
        list(", 0x"),
        format!("b\"{}\"", bytes.escape_ascii()),
    ];
    for before in 0..3 {
        let shifted = [&[0x77; 3][..before], bytes, &[0x77]].concat();
        let mut text = [0; 64];
        spellings.push(Base64::encode(&shifted, &mut text).unwrap().to_string());
        spellings.push(Base64UrlUnpadded::encode(&shifted, &mut text).unwrap().to_string());
    }
    let words = bytes.chunks_exact(4).map(|word| <[u8; 4]>::try_from(word).unwrap());
    spellings.push(format!("{:?}", words.clone().map(u32::from_le_bytes).collect::<Vec<_>>()));
    spellings.push(format!("{:x?}", words.map(u32::from_be_bytes).collect::<Vec<_>>()));
    let words = bytes.chunks_exact(8).map(|word| <[u8; 8]>::try_from(word).unwrap());
    spellings.push(format!("{:?}", words.clone().map(u64::from_be_bytes).collect::<Vec<_>>()));
    spellings.push(format!("{:#x?}", words.map(u64::from_le_bytes).collect::<Vec<_>>()));
    spellings
}

#[test]
fn the_detector_finds_eight_bytes_in_every_spelling() {
    for secret in [PRIVATE, PRESHARED] {
        for part in secret.windows(WINDOW).chain([&secret[..]]) {
            for spelling in spellings(part) {
                let text = format!("Peer {{ key: Key({spelling}), port: 51820 }}");
                assert!(leak(&text, &secret).is_some(), "{text}");
            }
        }
    }
}

#[test]
fn the_detector_is_quiet_about_six_bytes_and_about_other_keys() {
    // Base64 does not end where bytes do, so seven bytes and a little luck look like eight.
    for part in PRIVATE.windows(WINDOW - 2) {
        for spelling in spellings(part) {
            assert_eq!(leak(&spelling, &PRIVATE), None, "{spelling}");
        }
    }
    for spelling in spellings(&PRESHARED) {
        assert_eq!(leak(&spelling, &PRIVATE), None, "{spelling}");
    }
    assert_eq!(leak("", &PRIVATE), None);
    assert_eq!(leak("\\", &PRIVATE), None);
}

#[test]
#[should_panic(expected = "the private key is printed as a list of numbers")]
fn a_derived_debug_of_a_secret_is_caught() {
    #[derive(Debug)]
    struct Careless {
        #[expect(dead_code, reason = "it is there to be printed")]
        key: [u8; 32],
    }
    let key = *PrivateKey::from_bytes(PRIVATE).unwrap().expose();
    Watch::over_the_keys().debug(&Careless { key });
}
