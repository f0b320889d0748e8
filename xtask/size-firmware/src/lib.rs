#![no_std]
//! What the images share. `cargo xtask size` builds them.
//!
//! An image's flash is the engine's, plus the calls in [`device`] and [`text`], which stay in
//! functions of their own so that they can be subtracted.

pub mod board;
pub mod device;
pub mod primitives;
pub mod text;
