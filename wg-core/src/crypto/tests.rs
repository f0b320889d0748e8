//! Known answers, Wycheproof, and each provider against the portable one.
#![allow(unused_qualifications, reason = "which functions are in scope depends on the features")]
#![allow(clippy::type_complexity, reason = "the signatures are what is compared")]

extern crate std;

use proptest::prelude::*;
use std::vec::Vec;

use super::*;

fn hex<const N: usize>(text: &str) -> [u8; N] {
    bytes(text).try_into().unwrap()
}

fn bytes(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// The functions of one AEAD provider.
struct Aead {
    seal: fn(&[u8; 32], [u8; 12], &[u8], &mut [u8]) -> [u8; 16],
    open: fn(&[u8; 32], [u8; 12], &[u8], &mut [u8], &[u8; 16]) -> Result<(), Forged>,
}

const AEADS: &[Aead] = &[
    Aead { seal: named::seal, open: named::open },
    #[cfg(feature = "ring")]
    Aead { seal: ring::seal, open: ring::open },
    #[cfg(feature = "word32")]
    Aead { seal: word32::seal, open: word32::open },
];

/// The functions of one X25519 provider.
struct Curve {
    public_key: fn(&[u8; 32]) -> [u8; 32],
    dh: fn(&[u8; 32], &[u8; 32]) -> Option<zeroize::Zeroizing<[u8; 32]>>,
}

const CURVES: &[Curve] = &[
    Curve { public_key: named::public_key, dh: named::dh },
    #[cfg(feature = "graviola")]
    Curve { public_key: graviola::public_key, dh: graviola::dh },
    #[cfg(feature = "word32")]
    Curve { public_key: word32::public_key, dh: word32::dh },
];

/// RFC 7693 appendix B.
#[test]
fn hash_is_blake2s_256() {
    let abc = hex("508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982");
    assert_eq!(hash(&[b"abc"]), abc);
    assert_eq!(hash(&[b"a", b"", b"bc"]), abc, "parts are concatenated");
}

/// Made with CPython's hashlib and hmac. Keys and messages are the bytes 0, 1, 2, ...
#[test]
fn hash_mac_and_hmac_match_another_implementation() {
    let counting: [u8; 255] = core::array::from_fn(|i| i as u8);
    let key: [u8; 32] = core::array::from_fn(|i| i as u8);
    let cookie: [u8; 16] = core::array::from_fn(|i| i as u8);
    for (length, hashed, maced, maced_by_cookie, hmaced) in [
        (
            0,
            "69217a3079908094e11121d042354a7c1f55b6482ca1a51e1b250dfd1ed0eef9",
            "9536f9b267655743dee97b8a670f9f53",
            "af4e5d3bb230e9ff9096ca6f7c501f76",
            "e2641d24dfa8dd89e8cb77f1cdc77d8c006e5bebdfc4d6a3a3a6f8d5b7586fb0",
        ),
        (
            1,
            "e34d74dbaf4ff4c6abd871cc220451d2ea2648846c7757fbaac82fe51ad64bea",
            "13bacfb85b48a1223c595f8c1e7e82cb",
            "881e42e7bb358082637c0a0fd7ec6c2f",
            "3c657ea8362eeb115466cc90a81a36d2994b7153729c01f50a19be2ca3cce643",
        ),
        (
            64,
            "56f34e8b96557e90c1f24b52d0c89d51086acf1b00f634cf1dde9233b8eaaa3e",
            "f1efa90d2547036841ecd3627fafbc36",
            "dd55c51c98f8ab96ed272882941f0b6a",
            "3b35e945d05ac982850451ac8b6cdfffb98e56f50b95272fab665de081691056",
        ),
        (
            65,
            "1b53ee94aaf34e4b159d48de352c7f0661d0a40edff95a0b1639b4090e974472",
            "811ff8686d23a435ecbd0bdafcd27b1b",
            "9018c671bb7e94a6d540a91765bbecad",
            "e0bf9ad5f46ae7cb59268a338f24391ad8cc125148746599da55803c3d80c2e2",
        ),
        (
            132,
            "7bba9dc5b5db2071d17752b1044c1eced96aaf2dd46e9b433750e8ea0dcc1870",
            "6d19534b4c332741c8ddd79a9644de2d",
            "b03d1196bdcfaad40f911db86b79ac7e",
            "925ee5f630926a22ae9001a921776e4888be7e6d7d9397d1217b2fc3a02e7a92",
        ),
        (
            255,
            "f03f5789d3336b80d002d59fdf918bdb775b00956ed5528e86aa994acb38fe2d",
            "cd075928ab7e6883e697fe7fd3ac43ee",
            "b2953795123bd6b890ef3b6fa8b9bae2",
            "9b73679035213d2d7000d8d61e7e2e12fcd284dad2237473759fc4d744568623",
        ),
    ] {
        let message = &counting[..length];
        let (head, tail) = message.split_at(length / 3);
        assert_eq!(hash(&[head, tail]), hex(hashed), "HASH of {length} bytes");
        assert_eq!(mac(&key, &[head, tail]), hex(maced), "MAC of {length} bytes");
        assert_eq!(mac(&cookie, &[head, tail]), hex(maced_by_cookie), "MAC of {length} bytes");
        assert_eq!(hmac(&key, &[head, tail]), hex(hmaced), "HMAC of {length} bytes");
    }
}

/// RFC 8439 section 2.8.2.
#[test]
fn aead_is_chacha20_poly1305() {
    let key: [u8; 32] = core::array::from_fn(|i| 0x80 + i as u8);
    let nonce = hex("070000004041424344454647");
    let aad = bytes("50515253c0c1c2c3c4c5c6c7");
    let message: &[u8] = b"Ladies and Gentlemen of the class of '99: If I could offer you \
        only one tip for the future, sunscreen would be it.";
    let ciphertext = bytes(
        "d31a8d34648e60db7b86afbc53ef7ec2 a4aded51296e08fea9e2b5a736ee62d6
         3dbea45e8ca9671282fafb69da92728b 1a71de0a9e060b2905d6a5b67ecd3b36
         92ddbd7f2d778b8c9803aee328091b58 fab324e4fad675945585808b4831d7bc
         3ff4def08e4b7a9de576d26586cec64b 6116",
    );
    let tag = hex("1ae10b594f09e26a7e902ecbd0600691");
    for aead in AEADS {
        let mut buf = message.to_vec();
        assert_eq!((aead.seal)(&key, nonce, &aad, &mut buf), tag);
        assert_eq!(buf, ciphertext);
        assert_eq!((aead.open)(&key, nonce, &aad, &mut buf, &tag), Ok(()));
        assert_eq!(buf, message);
    }
}

#[test]
fn the_counter_is_the_last_eight_bytes_of_the_nonce_little_endian() {
    assert_eq!(nonce(0x0102_0304_0506_0708), [0, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1]);
    let key = [7; 32];
    let mut buf = *b"payload";
    let tag = seal(&key, 1 << 60, b"aad", &mut buf);
    let mut other = buf;
    assert_eq!(open(&key, 1 << 28, b"aad", &mut other, &tag), Err(Forged));
    assert_eq!(open(&key, 1 << 60, b"aad", &mut buf, &tag), Ok(()));
    assert_eq!(&buf, b"payload");
}

#[test]
fn a_forged_message_is_never_decrypted() {
    for aead in AEADS {
        let mut buf = *b"sixteen bytes or";
        let mut tag = (aead.seal)(&[1; 32], [2; 12], b"", &mut buf);
        tag[15] ^= 0x80;
        assert_eq!((aead.open)(&[1; 32], [2; 12], b"", &mut buf, &tag), Err(Forged));
        assert_ne!(&buf, b"sixteen bytes or");
    }
    let mut buf = *b"sixteen bytes or";
    let mut tag = xseal(&[1; 32], &[2; 24], b"", &mut buf);
    tag[0] ^= 1;
    assert_eq!(xopen(&[1; 32], &[2; 24], b"", &mut buf, &tag), Err(Forged));
    assert_ne!(&buf, b"sixteen bytes or");
}

/// RFC 7748 sections 5.2 and 6.1.
#[test]
fn dh_is_x25519() {
    for curve in CURVES {
        let mut u = hex("0900000000000000000000000000000000000000000000000000000000000000");
        let mut k = u;
        for round in 1..=1000 {
            let result = *(curve.dh)(&k, &u).unwrap();
            (u, k) = (k, result);
            if round == 1 {
                let once = "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079";
                assert_eq!(k, hex(once));
            }
        }
        let often = "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51";
        assert_eq!(k, hex(often));

        let alice = hex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
        let bob = hex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
        let alice_public = hex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
        let bob_public = hex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
        let shared = hex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
        assert_eq!((curve.public_key)(&alice), alice_public);
        assert_eq!((curve.public_key)(&bob), bob_public);
        assert_eq!(*(curve.dh)(&alice, &bob_public).unwrap(), shared);
        assert_eq!(*(curve.dh)(&bob, &alice_public).unwrap(), shared);
    }
}

#[test]
fn an_all_zero_dh_result_is_none() {
    let order_eight = hex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800");
    for curve in CURVES {
        assert!((curve.dh)(&[0x42; 32], &[0; 32]).is_none());
        assert!((curve.dh)(&[0x42; 32], &order_eight).is_none());
    }
}

#[test]
fn wycheproof_aead() {
    use wycheproof::aead::{TestName, TestSet};

    let mut tried = 0;
    for group in TestSet::load(TestName::ChaCha20Poly1305).unwrap().test_groups {
        for test in group.tests {
            // Vectors of other nonce and tag lengths are not for fixed-size arguments.
            let Ok(nonce) = <[u8; 12]>::try_from(&test.nonce[..]) else { continue };
            let Ok(tag) = <[u8; 16]>::try_from(&test.tag[..]) else { continue };
            let key = test.key[..].try_into().unwrap();
            for aead in AEADS {
                let mut buf = test.ct.to_vec();
                let opened = (aead.open)(&key, nonce, &test.aad, &mut buf, &tag);
                assert_eq!(opened.is_ok(), !test.result.must_fail(), "{test:?}");
                if opened.is_ok() {
                    assert_eq!(buf, test.pt[..], "{test:?}");
                    assert_eq!((aead.seal)(&key, nonce, &test.aad, &mut buf), tag, "{test:?}");
                    assert_eq!(buf, test.ct[..], "{test:?}");
                }
                tried += 1;
            }
        }
    }
    assert!(tried >= 300 * AEADS.len(), "{tried}");
}

#[test]
fn wycheproof_xaead() {
    use wycheproof::aead::{TestName, TestSet};

    let mut tried = 0;
    for group in TestSet::load(TestName::XChaCha20Poly1305).unwrap().test_groups {
        for test in group.tests {
            let Ok(nonce) = <[u8; 24]>::try_from(&test.nonce[..]) else { continue };
            let Ok(tag) = <[u8; 16]>::try_from(&test.tag[..]) else { continue };
            let key = test.key[..].try_into().unwrap();
            let mut buf = test.ct.to_vec();
            let opened = xopen(&key, &nonce, &test.aad, &mut buf, &tag);
            assert_eq!(opened.is_ok(), !test.result.must_fail(), "{test:?}");
            if opened.is_ok() {
                assert_eq!(buf, test.pt[..], "{test:?}");
                assert_eq!(xseal(&key, &nonce, &test.aad, &mut buf), tag, "{test:?}");
                assert_eq!(buf, test.ct[..], "{test:?}");
            }
            tried += 1;
        }
    }
    assert!(tried >= 280, "{tried}");
}

#[test]
fn wycheproof_dh() {
    use wycheproof::xdh::{TestName, TestSet};

    let mut tried = 0;
    for group in TestSet::load(TestName::X25519).unwrap().test_groups {
        for test in group.tests {
            let public = test.public_key[..].try_into().unwrap();
            let private = test.private_key[..].try_into().unwrap();
            for curve in CURVES {
                let shared = (curve.dh)(&private, &public);
                if test.shared_secret.iter().all(|byte| *byte == 0) {
                    assert!(shared.is_none(), "{test:?}");
                } else {
                    assert_eq!(shared.unwrap()[..], test.shared_secret[..], "{test:?}");
                }
                tried += 1;
            }
        }
    }
    assert!(tried >= 500 * CURVES.len(), "{tried}");
}

#[test]
fn equal_sees_every_bit() {
    let tag = [0x5a; 16];
    assert!(equal(&tag, &tag));
    for bit in 0..128 {
        let mut other = tag;
        other[bit / 8] ^= 1 << (bit % 8);
        assert!(!equal(&tag, &other), "bit {bit}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn every_aead_opens_what_any_seals(
        key: [u8; 32],
        nonce: [u8; 12],
        aad in prop::collection::vec(any::<u8>(), 0..64),
        message in prop::collection::vec(any::<u8>(), 0..1600),
        flip in any::<prop::sample::Index>(),
    ) {
        for sealer in AEADS {
            for opener in AEADS {
                let mut buf = message.clone();
                let tag = (sealer.seal)(&key, nonce, &aad, &mut buf);
                let mut forged: Vec<u8> = buf.iter().chain(&tag).copied().collect();
                let bit = flip.index(forged.len() * 8);
                forged[bit / 8] ^= 1 << (bit % 8);
                let (bad, bad_tag) = forged.split_at_mut(message.len());
                let bad_tag = (&*bad_tag).try_into().unwrap();
                prop_assert_eq!((opener.open)(&key, nonce, &aad, bad, bad_tag), Err(Forged));
                prop_assert_eq!((opener.open)(&key, nonce, &aad, &mut buf, &tag), Ok(()));
                prop_assert_eq!(&buf, &message);
            }
        }
    }

    #[test]
    fn every_curve_gives_the_same_keys(private: [u8; 32], public: [u8; 32]) {
        for curve in CURVES {
            prop_assert_eq!((curve.public_key)(&private), named::public_key(&private));
            prop_assert_eq!((curve.dh)(&private, &public), named::dh(&private, &public));
        }
    }
}
