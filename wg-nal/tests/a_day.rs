//! Twenty-four hours with a peer that reboots and moves, over a network that goes away.

mod virtual_network;

use std::net::SocketAddr;
use std::time::Duration;

use virtual_network::host::{Host, host, packet, run};
use virtual_network::{Network, Seeded, Simulation};

const STEP: Duration = Duration::from_secs(5);

/// After trouble, packets flow again within so many steps: who rebooted calls at once, and
/// initiations are repeated every 5 s.
const RESUMES_WITHIN: u32 = 2;

/// What became of the packets of one direction, over all reboots.
#[derive(Default, Debug)]
struct Tally {
    sent: u32,
    delivered: u32,
    /// Dropped by the sender, by its counters.
    dropped: u32,
    /// Waiting in a sender that rebooted.
    forgotten: u32,
    /// Dropped by the receiver, which was read only every five seconds.
    overrun: u32,
    /// Refused by the receiver: data for a session that it has no more, keepalives among them.
    refused: u32,
}

impl Tally {
    /// Takes the counters of a host that is about to forget them.
    fn take(sent: &mut Self, received: &mut Self, host: &Host) {
        let counters = host.handle.counters();
        sent.dropped +=
            counters.displaced + counters.abandoned + counters.refused + counters.unsent;
        sent.forgotten += host.handle.waiting() as u32;
        received.refused += host.handle.refusals().iter().map(|(_, count)| count).sum::<u32>();
        received.overrun += counters.overrun;
        assert_eq!((counters.too_long, counters.routing_loops), (0, 0));
    }
}

/// A side's address after so many moves. The last digit says whose it is.
fn address(number: u8, moves: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, moves, number], 51820 + u16::from(moves)))
}

#[test]
fn a_day_of_reboots_moves_and_outages() {
    let network = Network::new();
    network.reorder(Duration::from_millis(30));
    let mut simulation = Simulation::new(&network);
    let mut rng = Seeded(24);
    let [mut a, mut b] = [1, 2].map(|number| host(&network, number));
    for host in [&a, &b] {
        host.socket.move_to(address(host_number(host.address()), 0));
    }
    a.add_peer(&b.key, Some(b.address()));
    b.add_peer(&a.key, Some(a.address()));
    run(&mut simulation, &mut a);
    let mut b_runs = run(&mut simulation, &mut b);
    let (mut a_to_b, mut b_to_a) = (Tally::default(), Tally::default());
    let (mut reboots, mut moves, mut outages) = (0_u8, 0_u8, 0_u8);
    let mut outage_left = 0;
    let mut trouble_in = 120;
    let mut silent = [0_u32; 2];
    let mut longest = 0;

    for _ in 0..24 * 3600 / 5 {
        trouble_in -= 1;
        if trouble_in == 0 {
            // Every 5 to 20 minutes.
            trouble_in = 60 + rng.below(180);
            match rng.below(3) {
                0 => {
                    reboots += 1;
                    Tally::take(&mut b_to_a, &mut a_to_b, &b);
                    simulation.abort(b_runs);
                    let here = b.address();
                    b = host(&network, 2);
                    b.socket.move_to(here);
                    b.add_peer(&a.key, Some(a.address()));
                    b_runs = run(&mut simulation, &mut b);
                }
                1 => {
                    moves += 1;
                    let mover = if rng.below(2) == 0 { &a } else { &b };
                    mover.socket.move_to(address(host_number(mover.address()), moves));
                }
                _ => {
                    outages += 1;
                    outage_left = 12 + rng.below(108);
                    network.lose(100);
                }
            }
        }
        for (host, tally) in [(&mut a, &mut a_to_b), (&mut b, &mut b_to_a)] {
            assert_eq!(host.interface.try_send(&packet("telegram")), Ok(true));
            tally.sent += 1;
        }
        simulation.run_for(STEP);
        let sides = [(&mut b, &mut a_to_b), (&mut a, &mut b_to_a)];
        for ((host, tally), silent) in sides.into_iter().zip(&mut silent) {
            let before = tally.delivered;
            while host.interface.try_receive(|_| ()).is_some() {
                tally.delivered += 1;
            }
            *silent = if tally.delivered > before || outage_left > 0 { 0 } else { *silent + 1 };
            longest = longest.max(*silent);
            assert!(
                *silent <= RESUMES_WITHIN,
                "{} at {:?}: {tally:?}",
                host.address(),
                network.now()
            );
        }
        if outage_left > 0 {
            outage_left -= 1;
            if outage_left == 0 {
                network.lose(0);
            }
        }
    }

    network.lose(0);
    simulation.run_for(Duration::from_secs(600));
    for (host, tally) in [(&mut b, &mut a_to_b), (&mut a, &mut b_to_a)] {
        while host.interface.try_receive(|_| ()).is_some() {
            tally.delivered += 1;
        }
        assert_eq!(host.handle.waiting(), 0, "nothing piles up in a day");
    }
    Tally::take(&mut a_to_b, &mut b_to_a, &a);
    Tally::take(&mut b_to_a, &mut a_to_b, &b);
    network.sweep();
    println!(
        "{reboots} reboots, {moves} moves, {outages} outages; longest silence {longest} steps"
    );
    for (number, tally) in [(1, &a_to_b), (2, &b_to_a)] {
        let data = |(from, len): &&(SocketAddr, usize)| host_number(*from) == number && *len > 32;
        let lost = network.lost_data.borrow().iter().filter(data).count() as u32;
        println!("from {number}: {tally:?}, {lost} lost on the way");
        let missing = tally.sent - tally.delivered;
        let known = tally.dropped + tally.forgotten + tally.overrun + lost;
        // Of what the receiver refused, some were packets, the others keepalives or handshakes.
        assert!((known..=known + tally.refused).contains(&missing), "{missing} missing");
        assert!(tally.delivered > tally.sent * 4 / 5, "{tally:?}");
    }
    assert!(reboots > 20 && moves > 20 && outages > 20);
}

fn host_number(address: SocketAddr) -> u8 {
    match address.ip() {
        std::net::IpAddr::V4(ip) => ip.octets()[3],
        std::net::IpAddr::V6(_) => unreachable!("hosts are at IPv4 addresses"),
    }
}
