//! An inner packet that is taken in comes out as it was; what a router does to packets panics
//! for none.
#![no_main]

#[path = "../tests/oracle/mod.rs"]
mod oracle;
#[path = "../tests/pair/mod.rs"]
mod pair;

use libfuzzer_sys::fuzz_target;
use pair::Pair;
use wg_core::Received;
use wg_nal::clamp_mss;

thread_local! {
    static PAIR: std::cell::RefCell<Option<Pair>> = const { std::cell::RefCell::new(None) };
}

fuzz_target!(|packet: &[u8]| {
    if packet.len() > 2_000 {
        return;
    }
    let mut changed = packet.to_vec();
    clamp_mss(&mut changed, 1420);
    assert_eq!(changed.len(), packet.len());
    PAIR.with_borrow_mut(|pair_of_all| {
        let pair = pair_of_all.get_or_insert_with(|| {
            let mut pair = Pair::connected();
            for prefix in ["0.0.0.0/0", "::/0"] {
                let prefix = prefix.parse().expect("a prefix");
                pair.a.device.add_allowed_ip(pair.ab, prefix).expect("room");
                pair.b.device.add_allowed_ip(pair.ba, prefix).expect("room");
            }
            pair
        });
        let mut buf = vec![0; 16 + packet.len() + 15 + 16];
        buf[16..16 + packet.len()].copy_from_slice(packet);
        let _ = wg_nal::routing_loop(packet, &pair.a.device);
        let previewed = pair.a.device.preview(packet);
        let Ok(transmit) = pair.a.device.seal(pair.now, &mut buf, packet.len()) else {
            return;
        };
        let (to, len) = previewed.expect("what is sealed can be previewed");
        assert_eq!((transmit.to, transmit.datagram.len()), (to, len));
        let mut datagram = transmit.datagram.to_vec();
        let from = pair.a.address.into();
        let received =
            pair.b.device.handle_datagram(pair.now, &mut pair.b.rng, from, &mut datagram);
        match received.expect("an honest packet") {
            Received::Packet { packet: came, .. } => assert_eq!(came, &packet[..came.len()]),
            other => panic!("{other:?}"),
        }
        while pair.b.device.poll_event().is_some() {}
    });
});
