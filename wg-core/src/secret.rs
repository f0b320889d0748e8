//! Bytes that nobody else may see.

use core::fmt;

use subtle::ConstantTimeEq;
use zeroize::optimization_barrier;

/// `N` secret bytes: wiped on drop, compared in constant time, never printed.
///
/// A move does not wipe the place it leaves, so long-lived secrets are written into their
/// final place through [`Self::as_mut`] and wiped there.
///
/// Aligned, so that 32-bit processors copy and wipe it by words.
#[derive(Clone)]
#[repr(align(4))]
pub(crate) struct Secret<const N: usize>([u8; N]);

impl<const N: usize> Secret<N> {
    /// All zero: the state of a slot that holds no secret.
    pub(crate) const ZERO: Self = Self([0; N]);

    pub(crate) const fn new(bytes: [u8; N]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; N] {
        &self.0
    }

    pub(crate) const fn as_mut(&mut self) -> &mut [u8; N] {
        &mut self.0
    }

    /// Overwrites the bytes with zeros, in place.
    #[cfg_attr(target_os = "none", inline(never))] // for flash
    pub(crate) fn wipe(&mut self) {
        self.0 = [0; N];
        // Keeps the compiler from leaving out what nobody reads.
        optimization_barrier(&self.0);
    }

    /// Whether every byte is zero, in constant time.
    pub(crate) fn is_zero(&self) -> bool {
        self.0.ct_eq(&[0; N]).into()
    }
}

impl<const N: usize> PartialEq for Secret<N> {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl<const N: usize> Eq for Secret<N> {}

impl<const N: usize> Drop for Secret<N> {
    fn drop(&mut self) {
        self.wipe();
    }
}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wiping_leaves_zeros_in_place() {
        let mut secret = Secret::new([0xa5; 32]);
        assert!(!secret.is_zero());
        secret.wipe();
        assert_eq!(secret.as_bytes(), &[0; 32]);
        assert!(secret.is_zero());
    }

    #[test]
    fn one_different_bit_anywhere_is_unequal() {
        let secret = Secret::new([0x5a; 32]);
        assert_eq!(secret, secret.clone());
        for bit in 0..256 {
            let mut other = secret.clone();
            other.as_mut()[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(secret, other, "bit {bit}");
        }
    }
}
