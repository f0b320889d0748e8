//! What the firmware images of this package share. `src/bin/uptime-post.rs` is the one to read.
//!
//! | image | over | |
//! | --- | --- | --- |
//! | `uptime-post` | the tunnel | HTTP: the example |
//! | `http-plain` | Wi-Fi | the same without the tunnel, to compare sizes |
//! | `mqtt-tunnel`, `mqtt-plain` | the tunnel, Wi-Fi | MQTT in place of HTTP |
//! | `mqtt-tls` | TLS over Wi-Fi | what the tunnel is compared with |
#![no_std]
extern crate alloc;

pub mod board;
pub mod http;
pub mod mqtt;
pub mod tls;
pub mod tunnel;
