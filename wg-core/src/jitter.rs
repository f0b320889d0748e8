//! The random part of timers, which keeps a fleet from calling in step.

use core::time::Duration;

use rand_core::CryptoRng;

use crate::constants::MAX_JITTER;

/// A generator for nothing but jitter, so that sending data needs no random source.
pub(crate) struct Jitter {
    state: u64,
}

impl Jitter {
    pub(crate) const fn new() -> Self {
        Self { state: 0 }
    }

    /// Takes fresh randomness, whenever some is at hand anyway.
    pub(crate) fn stir(&mut self, rng: &mut dyn CryptoRng) {
        self.state ^= rng.next_u64();
    }

    /// Uniform over 0 to [`MAX_JITTER`], both included, in microseconds.
    pub(crate) fn draw(&mut self) -> Duration {
        // PCG's multiplier and increment; the high bits are the good ones.
        self.state = self
            .state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let choices = MAX_JITTER.subsec_micros().wrapping_add(1);
        let micros = (self.state >> 32).wrapping_mul(u64::from(choices)) >> 32;
        Duration::new(0, (micros as u32).wrapping_mul(1_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_covers_its_whole_range_evenly_and_nothing_beyond() {
        let mut jitter = Jitter::new();
        let mut tenths = [0; 10];
        for _ in 0..100_000 {
            let drawn = jitter.draw();
            assert!(drawn <= MAX_JITTER);
            tenths[(drawn.as_micros() * 10 / 333_001) as usize] += 1;
        }
        assert!(tenths.iter().all(|n| (9_000..11_000).contains(n)), "{tenths:?}");
    }
}
