//! Against the portable crates: edge values, every length and alignment, and as many random
//! inputs as there is time for.

extern crate std;

use std::vec::Vec;

use ::chacha20::ChaCha20Rng;
use ::chacha20::rand_core::{Rng, SeedableRng};

use super::super::named;
use super::{dh, open, public_key, seal, xopen, xseal};

/// Numbers around 0, p and 2^255, and those with few ones or zeros, of both highest bits.
fn edge_points() -> Vec<[u8; 32]> {
    let mut points = std::vec![[0; 32], [0xff; 32]];
    for low in 0..=0xff {
        let mut small = [0; 32];
        small[0] = low;
        let mut around_p = [0xff; 32];
        around_p[0] = low;
        around_p[31] = 0x7f;
        points.extend([small, around_p]);
    }
    for bit in 0..256 {
        let mut one = [0; 32];
        one[bit / 8] = 1 << (bit % 8);
        points.extend([one, one.map(|byte| !byte)]);
    }
    points
}

#[test]
fn edge_points_give_the_same_secrets() {
    for (point, place) in edge_points().into_iter().zip(0_usize..) {
        let private = [(place * 29) as u8 ^ 0x5a; 32];
        assert_eq!(dh(&private, &point), named::dh(&private, &point), "{point:x?}");
    }
    for private in [[0; 32], [0xff; 32], [1; 32]] {
        assert_eq!(public_key(&private), named::public_key(&private));
    }
}

#[test]
fn every_length_at_every_alignment_is_sealed_the_same() {
    let mut rng = ChaCha20Rng::from_seed([32; 32]);
    for len in (0..=300).chain([1420]) {
        let (mut key, mut nonce, mut message) = ([0; 32], [0; 24], std::vec![0; len]);
        rng.fill_bytes(&mut key);
        rng.fill_bytes(&mut nonce);
        rng.fill_bytes(&mut message);
        let aad = &key[..len % 33];
        let [short, ..] = nonce.as_chunks().0 else { unreachable!() };
        let mut expected = message.clone();
        let tag = named::seal(&key, *short, aad, &mut expected);
        let mut xexpected = message.clone();
        let xtag = named::xseal(&key, &nonce, aad, &mut xexpected);
        for shift in 0..4 {
            let mut memory = std::vec![0; len + 4];
            let buf = &mut memory[shift..][..len];
            buf.copy_from_slice(&message);
            assert_eq!(seal(&key, *short, aad, buf), tag, "{len} at {shift}");
            assert_eq!(buf, expected, "{len} at {shift}");
            assert_eq!(open(&key, *short, aad, buf, &tag), Ok(()));
            assert_eq!(buf, message, "{len} at {shift}");
            assert_eq!(xseal(&key, &nonce, aad, buf), xtag, "{len} at {shift}");
            assert_eq!(buf, xexpected, "{len} at {shift}");
            assert_eq!(xopen(&key, &nonce, aad, buf, &xtag), Ok(()));
            assert_eq!(buf, message, "{len} at {shift}");
        }
    }
}

/// All ones leave the greatest limbs and the most carries.
#[test]
fn messages_of_all_ones_have_the_same_tags() {
    for key in [[0; 32], [0xff; 32], [0x0f; 32]] {
        for len in [16, 32, 48, 64, 1420] {
            let mut ours = std::vec![0; len];
            seal(&key, [0xff; 12], &[], &mut ours);
            // The key stream back onto itself, inverted: a ciphertext of all ones.
            ours.iter_mut().for_each(|byte| *byte = !*byte);
            let mut theirs = ours.clone();
            let tag = seal(&key, [0xff; 12], &[0xff; 16], &mut ours);
            assert!(ours.iter().all(|&byte| byte == 0xff));
            assert_eq!(named::seal(&key, [0xff; 12], &[0xff; 16], &mut theirs), tag);
        }
    }
}

/// Bytes at random, or long rows of ones and zeros, which carry far.
fn fill(rng: &mut ChaCha20Rng, bytes: &mut [u8]) {
    if rng.next_u32().is_multiple_of(2) {
        return rng.fill_bytes(bytes);
    }
    let mut bit = 0;
    let mut left = 0;
    for at in 0..bytes.len() * 8 {
        if left == 0 {
            (bit, left) = (bit ^ 1, 1 + rng.next_u32() % 64);
        }
        left -= 1;
        bytes[at / 8] = bytes[at / 8] & !(1 << (at % 8)) | bit << (at % 8);
    }
}

fn random<const N: usize>(rng: &mut ChaCha20Rng) -> [u8; N] {
    let mut bytes = [0; N];
    fill(rng, &mut bytes);
    bytes
}

/// Messages of up to 300 bytes, at any alignment, sealed, opened, and refused when changed.
fn compare_messages(seed: u8, messages: u32) {
    let mut rng = ChaCha20Rng::from_seed([seed; 32]);
    let (mut theirs, mut memory) = (Vec::new(), [0_u128; 20]);
    for _ in 0..messages {
        let (key, nonce, aad): ([u8; 32], [u8; 24], [u8; 32]) =
            (random(&mut rng), random(&mut rng), random(&mut rng));
        let [len, shift, aad_len] = [301, 4, 33].map(|below| rng.next_u32() as usize % below);
        let ours = &mut zerocopy::IntoBytes::as_mut_bytes(&mut memory)[shift..][..len];
        fill(&mut rng, ours);
        let (message, aad) = (ours.to_vec(), &aad[..aad_len]);
        theirs.clone_from(&message);
        let is_extended = rng.next_u32().is_multiple_of(8);
        let [short, ..] = nonce.as_chunks().0 else { unreachable!() };
        let tag = if is_extended {
            let tag = named::xseal(&key, &nonce, aad, &mut theirs);
            assert_eq!(xseal(&key, &nonce, aad, ours), tag);
            tag
        } else {
            let tag = named::seal(&key, *short, aad, &mut theirs);
            assert_eq!(seal(&key, *short, aad, ours), tag);
            tag
        };
        assert_eq!(ours, theirs);
        let mut forged = tag;
        let bit = rng.next_u32() as usize % 128;
        forged[bit / 8] ^= 1 << (bit % 8);
        let opened = if is_extended {
            assert!(xopen(&key, &nonce, aad, ours, &forged).is_err());
            xopen(&key, &nonce, aad, ours, &tag)
        } else {
            assert!(open(&key, *short, aad, ours, &forged).is_err());
            open(&key, *short, aad, ours, &tag)
        };
        assert_eq!(opened, Ok(()));
        assert_eq!(ours, message);
    }
}

/// Shared secrets of random scalars and points.
fn compare_secrets(seed: u8, secrets: u32) {
    let mut rng = ChaCha20Rng::from_seed([seed; 32]);
    for _ in 0..secrets {
        let (private, public) = (random(&mut rng), random(&mut rng));
        assert_eq!(dh(&private, &public), named::dh(&private, &public), "{private:x?}");
    }
}

/// The authenticator alone, under keys that no cipher would find: factors of few bits and of
/// nearly all of them, and sums around p.
fn compare_tags(seed: u8, messages: u32) {
    let mut rng = ChaCha20Rng::from_seed([seed; 32]);
    for _ in 0..messages {
        let key: [u8; 32] = random(&mut rng);
        let mut message: [u8; 96] = random(&mut rng);
        let len = rng.next_u32() as usize % 7 * 16;
        if rng.next_u32().is_multiple_of(2) {
            message[..16].fill(0xff);
            message[0] = rng.next_u32() as u8;
        }
        let mut block = super::chacha20::Block([0; 16]);
        for (to, bytes) in block.0.iter_mut().zip(key.as_chunks().0) {
            *to = u32::from_ne_bytes(*bytes);
        }
        let mut ours = super::poly1305::Poly1305::new(&block);
        ours.update_padded(&message[..len]);
        let theirs =
            <::poly1305::Poly1305 as ::poly1305::universal_hash::KeyInit>::new(&key.into())
                .compute_unpadded(&message[..len]);
        assert_eq!(ours.finish()[..], theirs[..], "{key:x?} {:x?}", &message[..len]);
    }
}

#[test]
fn random_inputs_give_what_the_crates_give() {
    compare_messages(1, 3_000);
    compare_tags(2, 20_000);
    compare_secrets(3, 200);
}

/// `cargo test --release -p wg-core --features word32 -- --ignored millions`
#[test]
#[ignore = "takes minutes in a release build, and hours in another"]
fn millions_of_random_inputs_give_what_the_crates_give() {
    compare_messages(4, 4_000_000);
    compare_tags(5, 20_000_000);
    compare_secrets(6, 1_000_000);
}
