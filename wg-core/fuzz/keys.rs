//! A key or a prefix that is read is printed as one that is read as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wg_core::{AllowedIp, PresharedKey, PrivateKey, PublicKey};

fuzz_target!(|text: &str| {
    if let Ok(key) = text.parse::<PublicKey>() {
        assert_eq!(key.to_string().parse(), Ok(key));
        assert_eq!(text.trim(), key.to_string());
    }
    if let Ok(key) = PublicKey::from_hex(text) {
        assert_eq!(key.to_string().parse(), Ok(key));
    }
    if let Ok(key) = text.parse::<PrivateKey>() {
        assert_eq!(PrivateKey::from_hex(key.expose_hex().as_str()).as_ref(), Ok(&key));
    }
    if let Ok(key) = PresharedKey::from_hex(text) {
        assert_eq!(key.expose_base64().as_str().parse::<PresharedKey>().as_ref(), Ok(&key));
    }
    if let Ok(prefix) = text.parse::<AllowedIp>() {
        assert_eq!(prefix.to_string().parse(), Ok(prefix));
        assert_eq!(AllowedIp::new(prefix.addr(), prefix.cidr()), Some(prefix));
    }
});
