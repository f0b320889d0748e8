//! What a board pays for one post: it wakes, shakes hands, posts by TCP, and sleeps again.
//!
//! `docs/measuring.md` has the table; `cargo xtask size` adds the instructions.

mod virtual_network;

use std::time::Duration;

use virtual_network::host::{packet, pair, run};
use virtual_network::{Network, Simulation};

/// The inner packets of an HTTP post of 300 bytes and its answer: who sends, and the length.
/// IPv4 and TCP have 40 bytes, the options of SYN another 4.
const POST: &[(Side, usize)] = &[
    (Side::Board, 44),    // SYN
    (Side::Gateway, 44),  // SYN, ACK
    (Side::Board, 40),    // ACK
    (Side::Board, 340),   // the request
    (Side::Gateway, 340), // the response, and FIN
    (Side::Board, 40),    // FIN, ACK
    (Side::Gateway, 40),  // ACK
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Board,
    Gateway,
}

#[test]
fn waking_to_post_and_sleeping_again_costs_so_many_datagrams_and_bytes() {
    let network = Network::new();
    let (mut board, mut gateway) = pair(&network);
    let mut simulation = Simulation::new(&network);
    run(&mut simulation, &mut gateway);
    let started = network.now();
    run(&mut simulation, &mut board);
    for &(sender, len) in POST {
        let (from, to) = match sender {
            Side::Board => (&mut board.interface, &mut gateway.interface),
            Side::Gateway => (&mut gateway.interface, &mut board.interface),
        };
        let sent = packet(&"x".repeat(len - 20));
        assert_eq!(from.try_send(&sent), Ok(true));
        let received =
            simulation.block_on(Duration::from_secs(1), to.receive(|packet| packet.to_vec()));
        assert_eq!(received, sent);
    }
    board.handle.stop();
    let took = network.now().saturating_since(started);
    simulation.run_for(Duration::from_millis(1));
    let sent = network.sent_by(board.address());
    let received = network.sent_by(gateway.address());
    let sum = |lengths: &[usize]| lengths.iter().sum::<usize>();
    println!("sent {} datagrams, {} bytes: {sent:?}", sent.len(), sum(&sent));
    println!("received {}, {} bytes: {received:?}", received.len(), sum(&received));
    println!("{took:?}, at 10 ms a way");
    // An initiation and a response; each packet is padded to 16 bytes, and 32 longer.
    assert_eq!(sent, [148, 80, 80, 384, 80]);
    assert_eq!(received, [92, 80, 384, 80]);
    // A round trip for the handshake, and as many as TCP has.
    assert_eq!(took, Duration::from_millis(90));

    // Asleep: the gateway, which nobody told, calls in vain for as long as it tries.
    simulation.run_for(Duration::from_secs(600));
    assert_eq!(network.sent_by(board.address()), sent);
    assert_eq!(board.clock.wakeups.get(), 0, "nothing of all this waits for a timer");
}
