//! temporary
use core::convert::Infallible;
use core::time::Duration;
use wg_core::{Increasing, Tai64nClock};
/// A clock.
pub trait Timestamps: Tai64nClock {
    /// Err.
    type Error: core::fmt::Debug;
    /// Short.
    fn is_short(&self) -> bool;
    /// Reserve.
    async fn reserve(&mut self) -> Result<(), Self::Error>;
}
impl<F: FnMut() -> Option<Duration>> Timestamps for Increasing<F> {
    type Error = Infallible;
    fn is_short(&self) -> bool {
        false
    }
    async fn reserve(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}
