//! `size_of` of the public types, here and on the microcontroller.

use anyhow::{Context, Result};

use super::image::Image;
use super::numbers::Numbers;

include!("../../size-firmware/src/types.rs");

macro_rules! here {
    ($($name:literal: $type:ty,)*) => {
        &[$(($name, size_of::<$type>() as u64),)*]
    };
}

/// On this machine, by name.
const HERE: &[(&str, u64)] = public_types!(here);

/// Reads the sizes from an image that has a symbol as large as each type.
pub(super) fn measure(image: &Image, numbers: &mut Numbers) -> Result<()> {
    let there = |wanted: &str| {
        let size = image.symbols_of("size_of ").find(|(name, _)| *name == wanted);
        size.map(|(_, size)| size).with_context(|| format!("the image has no size of {wanted}"))
    };
    let here = |wanted: &str| HERE.iter().find(|(name, _)| *name == wanted).map_or(0, |(_, n)| *n);
    let one_peer = there("Storage<1, 2>")?;
    numbers.add("device.one_peer.bytes", one_peer + there("Device")?);
    numbers.add("device.peer.bytes", there("Storage<2, 2>")? - one_peer);
    numbers.add("device.route.bytes", there("Storage<1, 3>")? - one_peer);
    let host = here("Storage<1, 2>") + here("Device");
    numbers.add("host.device.one_peer.bytes", host);
    for (name, size) in HERE {
        numbers.add_type(name, there(name)?, *size);
    }
    Ok(())
}
