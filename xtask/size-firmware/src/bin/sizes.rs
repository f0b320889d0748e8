//! The sizes of wg-core's public types on this target: a symbol for each, as large as the type.
//!
//! `cargo xtask size` prints the same list for the host, by including this file's list.
#![no_std]
#![no_main]
#![allow(unsafe_code, reason = "the symbols' names are unmangled")]

include!("../types.rs");

macro_rules! symbols {
    ($($name:literal: $type:ty,)*) => {$(
        const _: () = {
            #[used]
            #[unsafe(export_name = concat!("size_of ", $name))]
            static SIZE: [u8; size_of::<$type>()] = [1; size_of::<$type>()];
        };
    )*};
}

public_types!(symbols);

size_firmware::entry!(core::hint::spin_loop);
