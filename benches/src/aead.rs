//! ChaCha20-Poly1305 alone, under a key that is ready: the floor for every packet.

/// The cipher that the engine is built with.
#[cfg(not(feature = "ring"))]
pub use named as engine;
/// The cipher that the engine is built with.
#[cfg(feature = "ring")]
pub use ring as engine;

/// The portable crate, which is the engine's default.
pub mod named {
    use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit};

    /// A key, set up.
    pub struct Key(ChaCha20Poly1305);

    impl Key {
        /// Sets up a key.
        pub fn new(key: &[u8; 32]) -> Self {
            Self(ChaCha20Poly1305::new(key.into()))
        }

        /// Encrypts in place.
        pub fn seal(&self, counter: u64, text: &mut [u8]) -> [u8; 16] {
            let nonce = super::nonce(counter).into();
            self.0.encrypt_inout_detached(&nonce, &[], text.into()).expect("a short text").into()
        }

        /// Decrypts in place; whether the tag was right.
        pub fn open(&self, counter: u64, text: &mut [u8], tag: &[u8; 16]) -> bool {
            let nonce = super::nonce(counter).into();
            self.0.decrypt_inout_detached(&nonce, &[], text.into(), tag.into()).is_ok()
        }
    }
}

/// ring's assembly, which boringtun uses, and the engine by its feature `ring`.
pub mod ring {
    use ::ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, Tag, UnboundKey};

    /// A key, set up.
    pub struct Key(LessSafeKey);

    impl Key {
        /// Sets up a key.
        pub fn new(key: &[u8; 32]) -> Self {
            Self(LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key).expect("32 bytes")))
        }

        /// Encrypts in place.
        pub fn seal(&self, counter: u64, text: &mut [u8]) -> [u8; 16] {
            let nonce = Nonce::assume_unique_for_key(super::nonce(counter));
            let tag = self.0.seal_in_place_separate_tag(nonce, Aad::empty(), text);
            tag.expect("a short text").as_ref().try_into().expect("16 bytes")
        }

        /// Decrypts in place; whether the tag was right.
        pub fn open(&self, counter: u64, text: &mut [u8], tag: &[u8; 16]) -> bool {
            let nonce = Nonce::assume_unique_for_key(super::nonce(counter));
            let (aad, tag) = (Aad::empty(), Tag::from(*tag));
            self.0.open_in_place_separate_tag(nonce, aad, tag, text, 0..).is_ok()
        }
    }
}

fn nonce(counter: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&counter.to_le_bytes());
    nonce
}
