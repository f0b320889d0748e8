//! A text that is taken says the same when it is printed and read again, and nothing that it
//! gives panics.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wg_core::config::{Config, text_of};

fn printed(config: &Config<'_>) -> String {
    let mut text = String::new();
    config.write_with_secrets(&mut text).expect("a string takes everything");
    text
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = text_of(bytes) else { return };
    let config = match Config::parse(text) {
        Ok(config) => config,
        Err(error) => {
            let _ = error.to_string();
            return;
        }
    };
    let _ = config.private_key().map(|key| key.public_key());
    let _ = (config.listen_port(), config.fw_mark(), config.mtu());
    let _ = (config.addresses().count(), config.dns_servers().count());
    let _ = (config.dns_search().count(), config.host_settings().count());
    for peer in config.peers() {
        let _ = (peer.preshared_key(), peer.persistent_keepalive(), peer.allowed_ips().count());
        let _ = peer.endpoint();
    }
    let text = printed(&config);
    let again = Config::parse(&text).expect("what was printed is taken");
    assert_eq!(printed(&again), text);
});
