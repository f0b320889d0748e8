//! Known answers for every primitive, from the documents that define them.

use crate::WrongAnswer;
use crate::primitives::{crypto, portable};

pub(crate) fn check() -> Result<(), WrongAnswer> {
    let right = |right: bool, name| if right { Ok(()) } else { Err(WrongAnswer(name)) };
    right(chacha20(), "ChaCha20, RFC 8439 section 2.4.2")?;
    right(poly1305(), "Poly1305, RFC 8439 section 2.5.2")?;
    right(aead(), "ChaCha20-Poly1305, RFC 8439 appendix A.5")?;
    right(blake2s(), "BLAKE2s, RFC 7693 appendix B")?;
    right(mac(), "BLAKE2s with a key")?;
    right(hmac(), "HMAC-BLAKE2s")?;
    right(x25519(), "X25519, RFC 7748 section 6.1")
}

/// Bytes written as hexadecimal digits.
fn hex<const N: usize>(text: &str) -> [u8; N] {
    let digit = |at: usize| match text.as_bytes().get(at) {
        Some(digit @ b'0'..=b'9') => digit - b'0',
        Some(digit @ b'a'..=b'f') => digit - b'a' + 10,
        _ => 0,
    };
    core::array::from_fn(|at| digit(2 * at) << 4 | digit(2 * at + 1))
}

const SUNSCREEN: &[u8; 114] = b"Ladies and Gentlemen of the class of '99: \
    If I could offer you only one tip for the future, sunscreen would be it.";

fn chacha20() -> bool {
    let key = core::array::from_fn(|at| at as u8);
    let mut text = *SUNSCREEN;
    portable::chacha20(&key, &hex("000000000000004a00000000"), 1, &mut text);
    text == hex(concat!(
        "6e2e359a2568f98041ba0728dd0d6981e97e7aec1d4360c20a27afccfd9fae0b",
        "f91b65c5524733ab8f593dabcd62b3571639d624e65152ab8f530c359f0861d8",
        "07ca0dbf500d6a6156a38e088a22b65e52bc514d16ccf806818ce91ab7793736",
        "5af90bbf74a35be6b40b8eedf2785e42874d",
    ))
}

fn poly1305() -> bool {
    let key = hex("85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b");
    portable::poly1305(&key, b"Cryptographic Forum Research Group")
        == hex("a8061dc1305136c6c22b8baf0c0127a9")
}

/// The only vector of the document whose nonce begins with four zeros, as WireGuard's do.
fn aead() -> bool {
    let key = hex("1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0");
    let aad: [u8; 12] = hex("f33388860000000000004e91");
    let mut text = *b"Internet-Drafts are draft documents valid for a maximum of six months \
        and may be updated, replaced, or obsoleted by other documents at any time. It is \
        inappropriate to use Internet-Drafts as reference material or to cite them other than \
        as /\xe2\x80\x9cwork in progress./\xe2\x80\x9d";
    let plain = text;
    let counter = 0x0807_0605_0403_0201;
    let tag = crypto::seal(&key, counter, &aad, &mut text);
    if tag != hex("eead9d67890cbb22392336fea1851f38")
        || text[..16] != hex::<16>("64a0861575861af460f062c79be643bd")
    {
        return false;
    }
    let mut forged = tag;
    forged[0] ^= 1;
    crypto::open(&key, counter, &aad, &mut text.clone(), &forged).is_err()
        && crypto::open(&key, counter, &aad, &mut text, &tag).is_ok()
        && text == plain
}

fn blake2s() -> bool {
    crypto::hash(&[b"a", b"bc"])
        == hex("508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982")
}

/// Computed by Python's hashlib.
fn mac() -> bool {
    crypto::mac(&[7; 32], &[SUNSCREEN]) == hex("df3d6e579fde1f4adf6973a38a52ce4c")
}

/// Computed by Python's hmac.
fn hmac() -> bool {
    crypto::hmac(&[7; 32], &[SUNSCREEN])
        == hex("f41f34b5c3f6234c279dd42d16788c9c204b82f609910e059ba3f6d5654216ac")
}

fn x25519() -> bool {
    let alice = hex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
    let bob = hex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
    let shared = hex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
    crypto::public_key(&alice)
        == hex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
        && crypto::dh(&alice, &bob).is_some_and(|secret| *secret == shared)
}
