//! ChaCha20-Poly1305 (RFC 8439 section 2.8) and XChaCha20-Poly1305.

use subtle::ConstantTimeEq;

use super::super::Forged;
use super::chacha20::ChaCha20;
use super::poly1305::Poly1305;

/// See [`super::super::named::seal`].
pub(crate) fn seal(key: &[u8; 32], nonce: [u8; 12], aad: &[u8], buf: &mut [u8]) -> [u8; 16] {
    if !is_numbered(buf) {
        // Nothing of such a message may leave.
        buf.fill(0);
        return [0; 16];
    }
    let (cipher, mac) = &mut begin(key, nonce);
    cipher.apply(buf);
    authenticate(mac, aad, buf)
}

/// See [`super::super::named::open`].
pub(crate) fn open(
    key: &[u8; 32],
    nonce: [u8; 12],
    aad: &[u8],
    buf: &mut [u8],
    tag: &[u8; 16],
) -> Result<(), Forged> {
    if !is_numbered(buf) {
        return Err(Forged);
    }
    let (cipher, mac) = &mut begin(key, nonce);
    let is_genuine = authenticate(mac, aad, buf).as_slice().ct_eq(tag);
    if !bool::from(is_genuine) {
        return Err(Forged);
    }
    cipher.apply(buf);
    Ok(())
}

/// See [`super::super::named::xseal`].
pub(crate) fn xseal(key: &[u8; 32], nonce: &[u8; 24], aad: &[u8], buf: &mut [u8]) -> [u8; 16] {
    let (first, rest) = split(nonce);
    seal(&ChaCha20::derive_key(key, first).0, rest, aad, buf)
}

/// See [`super::super::named::xopen`].
pub(crate) fn xopen(
    key: &[u8; 32],
    nonce: &[u8; 24],
    aad: &[u8],
    buf: &mut [u8],
    tag: &[u8; 16],
) -> Result<(), Forged> {
    let (first, rest) = split(nonce);
    open(&ChaCha20::derive_key(key, first).0, rest, aad, buf, tag)
}

/// Whether a block's number, which begins at 1 and has 32 bits, is enough for `buf`.
fn is_numbered(buf: &[u8]) -> bool {
    u32::try_from(buf.len().div_ceil(64)).is_ok()
}

fn begin(key: &[u8; 32], nonce: [u8; 12]) -> (ChaCha20, Poly1305) {
    let [n0, n1, n2] = words(&nonce);
    let mut cipher = ChaCha20::new(key, [0, n0, n1, n2]);
    let mac = Poly1305::new(&cipher.next_block());
    (cipher, mac)
}

fn authenticate(mac: &mut Poly1305, aad: &[u8], ciphertext: &[u8]) -> [u8; 16] {
    mac.update_padded(aad);
    mac.update_padded(ciphertext);
    let [aad, ciphertext] = [aad, ciphertext].map(|part| part.len() as u64);
    let lengths = [aad as u32, (aad >> 32) as u32, ciphertext as u32, (ciphertext >> 32) as u32];
    mac.update(&[lengths.map(u32::to_le)]);
    mac.finish()
}

/// The part of an extended nonce that goes into the key, and the nonce under that key.
fn split(nonce: &[u8; 24]) -> ([u32; 4], [u8; 12]) {
    let [n0, n1, n2, n3, ..] = words::<6>(nonce);
    let mut rest = [0; 12];
    for (to, byte) in rest.iter_mut().skip(4).zip(nonce.iter().skip(16)) {
        *to = *byte;
    }
    ([n0, n1, n2, n3], rest)
}

/// Little-endian words. There are as many as the bytes hold.
fn words<const N: usize>(bytes: &[u8]) -> [u32; N] {
    let mut words = [0; N];
    for (to, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
        *to = u32::from_le_bytes(*bytes);
    }
    words
}
