//! ChaCha20-Poly1305 by ring's assembly, for hosts. The key is set up anew per message, on
//! the stack.

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, Tag, UnboundKey};

use super::Forged;

/// See [`super::named::seal`].
pub(crate) fn seal(key: &[u8; 32], nonce: [u8; 12], aad: &[u8], buf: &mut [u8]) -> [u8; 16] {
    let nonce = Nonce::assume_unique_for_key(nonce);
    UnboundKey::new(&CHACHA20_POLY1305, key)
        .and_then(|key| {
            LessSafeKey::new(key).seal_in_place_separate_tag(nonce, Aad::from(aad), buf)
        })
        .ok()
        .and_then(|tag| tag.as_ref().try_into().ok())
        .unwrap_or_else(|| {
            // Only for messages of 256 GiB and more; nothing of such a one may leave.
            buf.fill(0);
            [0; 16]
        })
}

/// See [`super::named::open`].
pub(crate) fn open(
    key: &[u8; 32],
    nonce: [u8; 12],
    aad: &[u8],
    buf: &mut [u8],
    tag: &[u8; 16],
) -> Result<(), Forged> {
    let nonce = Nonce::assume_unique_for_key(nonce);
    UnboundKey::new(&CHACHA20_POLY1305, key)
        .and_then(|key| {
            LessSafeKey::new(key)
                .open_in_place_separate_tag(nonce, Aad::from(aad), Tag::from(*tag), buf, 0..)
                .map(|_plaintext| ())
        })
        .map_err(|_| Forged)
}
