//! A Linux kernel with WireGuard in an emulator: the oracle of the interop suite.

mod guest;
mod image;

pub(crate) use guest::{CommandId, GUEST_MAC, Guest};
pub(crate) use image::Image;
