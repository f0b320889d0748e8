//! A random generator that a hardware source seeds, and that cannot fail afterwards.

use core::convert::Infallible;
use core::fmt;

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use rand_core::{TryCryptoRng, TryRng};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

const KEY_LEN: usize = 32;
/// Bytes drawn under one key: the cipher's block counter ends at 2^32 blocks.
const DRAW: usize = 1 << 16;
/// So many equal bytes in a row come from a source that is stuck. A good source makes them in
/// 64 bytes once in 2^58 times; one with four bits of entropy a byte, once in 2^26.
const LONGEST_RUN: usize = 9;

/// A deterministic generator for keys and nonces, seeded and reseeded by a source that may
/// fail, such as a hardware generator.
///
/// | | |
/// | --- | --- |
/// | construction | fast key erasure: each draw takes its bytes from ChaCha20, and first of all the next key |
/// | a stolen state | tells nothing of what was drawn before |
/// | seeding | 64 bytes of the source, in two halves, each mixed into the key |
/// | a source that fails | is an error of [`Self::try_new`]: there is no generator with a guessable key |
/// | a source that is stuck | too: see [`SeedError::Stuck`] |
/// | drawing | never fails: it is a [`CryptoRng`](rand_core::CryptoRng) |
/// | cost | 32 bytes of RAM; a draw of up to 32 bytes is one block of ChaCha20 |
///
/// Wiped on drop, and `Debug` shows nothing. It is not `Clone`: two copies would draw the same.
///
/// ```
/// use wg_core::PrivateKey;
/// use wg_nal::{Drbg, SeedError};
///
/// # struct Trng(u64);
/// # impl rand_core::TryRng for Trng {
/// #     type Error = core::fmt::Error;
/// #     fn try_next_u32(&mut self) -> Result<u32, Self::Error> { Ok(self.try_next_u64()? as u32) }
/// #     fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
/// #         self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
/// #         Ok(self.0)
/// #     }
/// #     fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
/// #         for chunk in bytes.chunks_mut(8) {
/// #             chunk.copy_from_slice(&self.try_next_u64()?.to_le_bytes()[..chunk.len()]);
/// #         }
/// #         Ok(())
/// #     }
/// # }
/// # impl rand_core::TryCryptoRng for Trng {}
/// # fn board() -> Result<(), SeedError<core::fmt::Error>> {
/// # let mut trng = Trng(7);
/// let mut rng = Drbg::try_new(&mut trng)?;
/// let key = PrivateKey::generate(&mut rng);
/// // Now and then, an hour apart, say. A failure keeps the generator as good as it was.
/// if let Err(_error) = rng.try_reseed(&mut trng) { /* log it */ }
/// # Ok(())
/// # }
/// # board().unwrap();
/// ```
pub struct Drbg {
    key: [u8; KEY_LEN],
}

impl Drbg {
    /// Seeds a generator from `source`.
    ///
    /// # Errors
    ///
    /// The error of the source, or [`SeedError::Stuck`] when what it gave is no randomness.
    pub fn try_new<R: TryCryptoRng + ?Sized>(source: &mut R) -> Result<Self, SeedError<R::Error>> {
        Self::try_from_fn(|bytes| source.try_fill_bytes(bytes))
    }

    /// Seeds a generator from what `fill` writes, for a source that implements no trait of
    /// [`rand_core`] 0.10. It is called once, for 64 bytes. As with [`Vouched`], it is the caller
    /// who says that they are random.
    ///
    /// ```
    /// # use wg_nal::{Drbg, SeedError};
    /// # struct Rng; // of embassy-stm32, say
    /// # impl Rng {
    /// #     fn fill_bytes(&mut self, bytes: &mut [u8]) { (0..).zip(bytes).for_each(|(n, to)| *to = n); }
    /// # }
    /// # fn board(mut rng: Rng) -> Result<(), SeedError<core::convert::Infallible>> {
    /// let rng = Drbg::try_from_fn(|bytes| Ok(rng.fill_bytes(bytes)))?;
    /// # Ok(())
    /// # }
    /// # board(Rng).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::try_new`].
    pub fn try_from_fn<E>(
        fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<Self, SeedError<E>> {
        let mut fresh = Self { key: [0; KEY_LEN] };
        fresh.mix(fill)?;
        Ok(fresh)
    }

    /// Mixes new randomness of `source` into the state. The state is afterwards at least as
    /// hard to guess as it was before, whatever the source gave.
    ///
    /// # Errors
    ///
    /// As [`Self::try_new`]; then the state is the old one, unchanged.
    pub fn try_reseed<R: TryCryptoRng + ?Sized>(
        &mut self,
        source: &mut R,
    ) -> Result<(), SeedError<R::Error>> {
        self.mix(|bytes| source.try_fill_bytes(bytes))
    }

    fn mix<E>(
        &mut self,
        fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<(), SeedError<E>> {
        let mut seed = Zeroizing::new([[0; KEY_LEN]; 2]);
        fill(seed.as_flattened_mut()).map_err(SeedError::Source)?;
        if is_stuck(&seed) {
            return Err(SeedError::Stuck);
        }
        for half in seed.iter() {
            for (key, byte) in self.key.iter_mut().zip(half) {
                *key ^= byte;
            }
            self.draw(&mut []);
        }
        Ok(())
    }

    /// Replaces the key, and fills `bytes`, of at most [`DRAW`], with what follows it.
    fn draw(&mut self, bytes: &mut [u8]) {
        let mut cipher = ChaCha20::new((&self.key).into(), &[0; 12].into());
        self.key.zeroize();
        cipher.apply_keystream(&mut self.key);
        bytes.fill(0);
        cipher.apply_keystream(bytes);
    }
}

/// Whether a seed has the marks of a source that gives no randomness: one byte all the time,
/// or one word, or the same 32 bytes again.
fn is_stuck(seed: &[[u8; KEY_LEN]; 2]) -> bool {
    let runs = seed.as_flattened().windows(LONGEST_RUN);
    let mut is_run = runs.map(|run| run.iter().all(|byte| run.first() == Some(byte)));
    is_run.any(|is_run| is_run) || seed.first() == seed.last()
}

impl TryRng for Drbg {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.draw(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.draw(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.chunks_mut(DRAW).for_each(|chunk| self.draw(chunk));
        Ok(())
    }
}

impl TryCryptoRng for Drbg {}

impl Drop for Drbg {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl ZeroizeOnDrop for Drbg {}

impl fmt::Debug for Drbg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Drbg(redacted)")
    }
}

/// Why a generator was not seeded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum SeedError<E> {
    /// The source said so itself.
    Source(E),
    /// The source gave the same byte nine times in a row, or the same 32 bytes twice. Real
    /// randomness never does; a hardware generator that has no clock or no power does.
    Stuck,
}

impl<E: fmt::Display> fmt::Display for SeedError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(error) => write!(f, "the random source failed: {error}"),
            Self::Stuck => f.write_str(
                "the random source repeats itself: check that it is switched on and clocked",
            ),
        }
    }
}

impl<E: core::error::Error> core::error::Error for SeedError<E> {}

/// A source that its driver does not call fit for keys, taken as fit by the caller's word.
///
/// It is for hardware generators whose quality depends on the state of the board, which the
/// type system does not see. The ESP32's is truly random while Wi-Fi or Bluetooth is on, or an
/// entropy source is; else it is a pseudo-random sequence that may repeat at each boot. Its
/// driver (esp-hal's `Rng`) therefore does not implement `TryCryptoRng`. Seed a [`Drbg`] from
/// it once the radio is on:
///
/// ```
/// # use rand_core::{TryCryptoRng, TryRng};
/// # use wg_nal::{Drbg, SeedError, Vouched};
/// # fn board(rng: impl TryRng<Error = core::convert::Infallible>)
/// #     -> Result<(), SeedError<core::convert::Infallible>> {
/// // `rng` is an `esp_hal::rng::Rng`, say, and the radio is on.
/// let mut rng = Drbg::try_new(&mut Vouched(rng))?;
/// # Ok(())
/// # }
/// ```
///
/// Where the driver has a type that checks the state of the board (esp-hal's `Trng`), take that
/// and no `Vouched`.
#[derive(Clone, Debug)]
pub struct Vouched<R>(
    /// The source.
    pub R,
);

impl<R: TryRng> TryRng for Vouched<R> {
    type Error = R::Error;

    fn try_next_u32(&mut self) -> Result<u32, R::Error> {
        self.0.try_next_u32()
    }

    fn try_next_u64(&mut self) -> Result<u64, R::Error> {
        self.0.try_next_u64()
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), R::Error> {
        self.0.try_fill_bytes(bytes)
    }
}

impl<R: TryRng> TryCryptoRng for Vouched<R> {}

#[cfg(test)]
mod tests;
