#![no_std]
#![forbid(unsafe_code)]
#![warn(clippy::alloc_instead_of_core, clippy::std_instead_of_core)]
//! A WireGuard tunnel on Espressif's chips, bare metal, with esp-hal.
//!
//! [`wg_nal`] is the tunnel; this crate is what it takes from such a chip, and one call that
//! puts it together over a stack of embassy-net: over Wi-Fi (esp-radio), or over Ethernet.
//!
//! ```no_run
//! # #[cfg(any())] // the names of the chip's crates are not known here
//! # async fn firmware() {
//! static MEMORY: StaticCell<Memory> = StaticCell::new();
//!
//! let mut entropy = wg_esp_hal::trng(&wifi_controller)?;    // or a `TrngSource`
//! let [text, records] = wg_esp_hal::split(partition)?;       // of the flash
//! let config = wg_esp_hal::read_text(&mut flash, text, TEXT.init([0; TEXT_LEN]))?;
//! let clock = Persistent::new(|| wg_esp_hal::unix_time(&rtc), wg_esp_hal::store(flash, records)?);
//! let board = Board { underlay: wifi, ip_mtu: WIFI_IP_MTU, rng: entropy.drbg()?, clock };
//! let mut tunnel = begin_config(MEMORY.init(Memory::new()), board, config, None)?;
//! join(tunnel.runner.run(), application(tunnel.inside)).await;
//! # }
//! ```
//!
//! `examples/uptime-post-esp` is the whole of it, for ESP32, S2, S3, C3 and C6.
//!
//! | What | Where it comes from |
//! | --- | --- |
//! | datagrams | a stack of embassy-net, outside the tunnel: [`Board::underlay`] |
//! | memory | the caller's [`Memory`], in a `static`; there is no allocator in here |
//! | randomness | `Trng`, with what makes it random held as long as it: [`Entropy`] |
//! | monotonic time | embassy-time, whose driver esp-rtos is |
//! | the time of day | the chip's RTC, if anybody set it: `unix_time`; it is never needed |
//! | timestamps over reboots, the private key | flash: [`store`] |
//! | the configuration | the text of a wg-quick file in flash: [`read_text`] |
//!
//! On the Xtensa chips (ESP32, S2, S3) the cryptography is wg-core's `word32`, because the portable
//! crates branch on secrets there, as compiled. On the others it is faster too: ask for the feature
//! `word32` of `wg-nal`.
//!
//! # What a mistake or a bad day does
//!
//! None of it needs a reboot, and each row has a test.
//!
//! | | |
//! | --- | --- |
//! | Wi-Fi is not up, or goes | nothing waits for it: an attempt every 5 s, the peer is `Blocked(Unanswered)`, connects in the tunnel time out, and within 6 s of its return there is a session |
//! | `begin` twice | [`Memory`] is taken: the second call does not compile, and `StaticCell` panics (its `try_init` does not). With memory of its own it is a second tunnel beside the first: give it another `ListenPort`, or none |
//! | `stop` twice, before the first `run`, or during a handshake | the same as once, at once: `run` returns, the link in the tunnel is down, and `run` goes on where it was |
//! | the flash takes no writes | no handshake without a timestamp that is kept: `Blocked(ClockReserve)` and [`Counters::reserve_errors`](wg_nal::Counters), until it takes them. A session that was there goes on, and so do the timestamps that were reserved |
//! | the flash is full of anything | no text: [`TextError`]; no key: `IdentityError`, and none is made in its place; timestamps: as for no writes. `FlashStore::erase`, or espflash's `erase-region`, is the way out |
//! | the flash is erased | a new key ([`Origin::Generated`](wg_nal::Origin)), to be entered at the gateway; timestamps begin anew, with the RTC's time if it was set |
//! | the configuration has a mistake, or does not fit | [`BeginError`], with the line; nothing runs |
//! | the random generator is stuck, or no radio is on | `SeedError`, `TrngError`: no tunnel |
//! | the endpoint's name has no address | asked for again and again, beside everything else |
//!
//! On a host the crate is whole but for what touches a register: `trng`, `unix_time` and
//! `set_unix_time` are for `target_os = "none"`.

#[cfg(all(target_os = "none", any(target_arch = "riscv32", target_arch = "xtensa")))]
mod chip;
mod entropy;
mod flash;

#[cfg(all(target_os = "none", any(target_arch = "riscv32", target_arch = "xtensa")))]
pub use chip::{set_unix_time, trng, unix_time};
pub use entropy::Entropy;
pub use flash::{PAGE, PartitionTooSmall, TEXT_LEN, TextError, read_text, split, store};

pub use embassy_embedded_hal::adapter::BlockingAsync;
/// The tunnel.
pub use wg_nal;
pub use wg_nal::embassy::{BeginError, Board, Memory, Runner, Tunnel, begin, begin_config};

/// The largest IP packet on Ethernet.
pub const ETHERNET_IP_MTU: u16 = wg_nal::ETHERNET_MTU;

/// The largest IP packet in esp-radio's default frame of 1492 bytes, which counts the Ethernet
/// header. With `ESP_RADIO_CONFIG_WIFI_MTU=1514` it is [`ETHERNET_IP_MTU`].
pub const WIFI_IP_MTU: u16 = 1478;
