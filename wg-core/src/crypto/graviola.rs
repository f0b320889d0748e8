//! X25519 by graviola's verified assembly, for x86-64 and AArch64 hosts. It panics on
//! processors without the instructions that it is written in (AVX2, for one).

use graviola::key_agreement::x25519::{PublicKey, StaticPrivateKey};
use zeroize::Zeroizing;

/// See [`super::named::public_key`].
pub(crate) fn public_key(private: &[u8; 32]) -> [u8; 32] {
    StaticPrivateKey::from_array(private).public_key().as_bytes()
}

/// See [`super::named::dh`].
pub(crate) fn dh(private: &[u8; 32], public: &[u8; 32]) -> Option<Zeroizing<[u8; 32]>> {
    // Fails only for an all-zero result.
    StaticPrivateKey::from_array(private)
        .diffie_hellman(&PublicKey::from_array(public))
        .ok()
        .map(|shared| Zeroizing::new(shared.0))
}
