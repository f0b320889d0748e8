//! A random generator, and what makes it random.

use wg_nal::rand_core::{TryCryptoRng, TryRng};
use wg_nal::{Drbg, SeedError};

/// A hardware generator together with its source of entropy.
///
/// The generator of these chips is random only while the radio or an ADC feeds it, and
/// esp-hal panics when the last source is dropped while a `Trng` lives. So the two are one
/// value, and the generator goes first. `source` may be a borrow: of the controller of Wi-Fi,
/// which stays usable as far as a shared borrow allows.
///
/// Made by `trng`, on a chip.
#[derive(Debug)]
pub struct Entropy<R, S> {
    // Fields are dropped in this order.
    generator: R,
    source: S,
}

impl<R, S> Entropy<R, S> {
    /// Joins a generator and what feeds it.
    pub const fn new(generator: R, source: S) -> Self {
        Self { generator, source }
    }

    /// The source.
    pub const fn source(&self) -> &S {
        &self.source
    }

    /// Gives the generator up, and returns the source.
    pub fn into_source(self) -> S {
        let Self { generator, source } = self;
        drop(generator);
        source
    }
}

impl<R: TryCryptoRng, S> Entropy<R, S> {
    /// A generator for the tunnel, seeded from this one, which it needs no more.
    ///
    /// # Errors
    /// The generator failed, or repeats itself: [`SeedError`].
    pub fn drbg(&mut self) -> Result<Drbg, SeedError<R::Error>> {
        Drbg::try_new(self)
    }
}

impl<R: TryRng, S> TryRng for Entropy<R, S> {
    type Error = R::Error;

    fn try_next_u32(&mut self) -> Result<u32, R::Error> {
        self.generator.try_next_u32()
    }

    fn try_next_u64(&mut self) -> Result<u64, R::Error> {
        self.generator.try_next_u64()
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), R::Error> {
        self.generator.try_fill_bytes(bytes)
    }
}

impl<R: TryCryptoRng, S> TryCryptoRng for Entropy<R, S> {}

#[cfg(test)]
mod tests {
    extern crate std;

    use core::cell::RefCell;
    use core::convert::Infallible;
    use std::vec::Vec;

    use super::*;

    /// A part that says when it is dropped, and draws the same byte for ever.
    struct Part<'l>(&'static str, &'l RefCell<Vec<&'static str>>);

    impl Drop for Part<'_> {
        fn drop(&mut self) {
            self.1.borrow_mut().push(self.0);
        }
    }

    impl TryRng for Part<'_> {
        type Error = Infallible;

        fn try_next_u32(&mut self) -> Result<u32, Infallible> {
            Ok(0)
        }

        fn try_next_u64(&mut self) -> Result<u64, Infallible> {
            Ok(0)
        }

        fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
            bytes.fill(0);
            Ok(())
        }
    }

    impl TryCryptoRng for Part<'_> {}

    #[test]
    fn the_source_outlives_the_generator() {
        let dropped = RefCell::new(Vec::new());
        drop(Entropy::new(Part("generator", &dropped), Part("source", &dropped)));
        assert_eq!(*dropped.borrow(), ["generator", "source"]);
        let entropy = Entropy::new(Part("generator", &dropped), Part("source", &dropped));
        let source = entropy.into_source();
        assert_eq!(*dropped.borrow(), ["generator", "source", "generator"]);
        drop(source);
        assert_eq!(dropped.borrow().len(), 4);
    }

    #[test]
    fn a_generator_that_repeats_itself_seeds_nothing() {
        let dropped = RefCell::new(Vec::new());
        let mut entropy = Entropy::new(Part("generator", &dropped), ());
        assert!(matches!(entropy.drbg(), Err(SeedError::Stuck)));
    }
}
