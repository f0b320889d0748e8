//! The primitives: those of wg-core's own crypto file, which is compiled here a second time,
//! and the two halves of its AEAD alone.

use core::hint::black_box;

use crate::engine::Memory;
use crate::{Bench, Machine, WrongAnswer};

#[path = "../../../wg-core/src"]
#[allow(dead_code, unused_imports, reason = "what no case needs")]
mod source {
    pub(crate) mod crypto;
}

pub(crate) use source::crypto;

#[cfg(not(feature = "word32"))]
use self::portable as halves;
#[cfg(feature = "word32")]
use crate::word32::halves;

/// The halves of the portable AEAD.
pub(crate) mod portable {
    use chacha20::ChaCha20;
    use chacha20::cipher::{KeyIvInit, StreamCipher, StreamCipherSeek};
    use poly1305::Poly1305;
    use poly1305::universal_hash::KeyInit;

    /// Encrypts from the block with this number on.
    pub(crate) fn chacha20(key: &[u8; 32], nonce: &[u8; 12], block: u32, buf: &mut [u8]) {
        let mut cipher = ChaCha20::new(key.into(), nonce.into());
        cipher.seek(u64::from(block) * 64);
        cipher.apply_keystream(buf);
    }

    /// The tag of a message.
    pub(crate) fn poly1305(key: &[u8; 32], message: &[u8]) -> [u8; 16] {
        Poly1305::new(key.into()).compute_unpadded(message).into()
    }
}

/// The lengths of messages, and the cases' names for each.
const SEAL: [(usize, &str, &str); 3] =
    [(64, "seal_64", "open_64"), (512, "seal_512", "open_512"), (1420, "seal_1420", "open_1420")];
const HALVES: [(usize, &str, &str); 3] = [
    (64, "chacha20_64", "poly1305_64"),
    (512, "chacha20_512", "poly1305_512"),
    (1420, "chacha20_1420", "poly1305_1420"),
];

pub(crate) fn run<M: Machine>(
    bench: &mut Bench<'_, M>,
    memory: &mut Memory,
) -> Result<(), WrongAnswer> {
    let key = black_box([3; 32]);
    let text = &mut memory.packet.0[16..];

    for (len, chacha20, poly1305) in HALVES {
        let text = &mut text[..len];
        bench.case(chacha20, len, || halves::chacha20(&key, &[0; 12], 1, text));
        black_box(bench.case(poly1305, len, || halves::poly1305(&key, text)));
    }
    for (len, seal, open) in SEAL {
        let text = &mut text[..len];
        text.fill(0x55);
        let tag = bench.case(seal, len, || crypto::seal(&key, 7, &[], text));
        let opened = bench.case(open, len, || crypto::open(&key, 7, &[], text, &tag));
        if opened.is_err() || text.iter().any(|&byte| byte != 0x55) {
            return Err(WrongAnswer("what was sealed does not open"));
        }
    }
    let text = &text[..64];
    black_box(bench.case("blake2s_64", 64, || crypto::hash(&[text])));
    black_box(bench.case("mac_64", 64, || crypto::mac(&key, &[text])));
    black_box(bench.case("hmac_64", 64, || crypto::hmac(&key, &[text])));
    let public = bench.case("x25519_base", 0, || crypto::public_key(&key));
    black_box(bench.case("x25519", 0, || crypto::dh(&key, &public)))
        .map(drop)
        .ok_or(WrongAnswer("no shared secret"))
}
