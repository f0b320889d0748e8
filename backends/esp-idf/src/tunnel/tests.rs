use std::sync::Mutex;
use std::sync::mpsc::channel;

use super::*;
use crate::gateway::{Gateway, wait_for};
use crate::outbound::Outbound;
use crate::{names, random, sntp_clock};

/// A host inside that is not interested.
struct Deaf;

impl Inside for Deaf {
    fn deliver(&mut self, _: &[u8]) -> bool {
        true
    }
}

fn start(settings: Settings, default_interface: fn() -> Option<String>) -> (Tunnel, Arc<Outbound>) {
    let (handed, handed_over) = channel();
    let system = System { resolve: names::system, default_interface };
    let (clock, rng) = (Box::new(sntp_clock()), Box::new(random().unwrap()));
    let tunnel = Tunnel::spawn(settings, clock, rng, system, move |_, outbound| {
        handed.send(outbound).unwrap();
        Ok(Deaf)
    });
    (tunnel.unwrap(), handed_over.recv().unwrap())
}

#[test]
fn the_default_interface_is_followed_wherever_it_goes_and_the_session_goes_on() {
    static BENEATH: Mutex<Option<&str>> = Mutex::new(None);
    let gateway = Gateway::start();
    let mut settings = gateway.settings(&["10.9.0.0/24"]);
    settings.underlay = Underlay::Default;
    let (tunnel, outbound) = start(settings, || BENEATH.lock().unwrap().map(Into::into));
    let status = || tunnel.status().unwrap();
    let send = || {
        outbound.offer(20, |packet| {
            packet.fill(0);
            (packet[0], packet[3]) = (0x45, 20);
            packet[12..20].copy_from_slice(&[10, 9, 0, 2, 10, 9, 0, 1]);
        })
    };
    // Nothing is up yet: as it comes.
    send();
    wait_for("the session", || status().is_up());
    let before = status();

    // Interfaces that are not there stand for one that leads nowhere.
    for (beneath, works) in
        [(Some("lo"), true), (Some("gone7"), false), (Some("lo"), true), (None, true)]
    {
        *BENEATH.lock().unwrap() = beneath;
        if works {
            let heard = gateway.datagrams();
            wait_for("a datagram", || send() && gateway.datagrams() > heard + 3);
        } else {
            let unsent = status().counters.unsent;
            wait_for("a failure", || send() && status().counters.unsent > unsent + 3);
        }
    }
    let after = status();
    assert_eq!(after.listen_port, before.listen_port);
    assert_eq!(after.peers[0].session_birth, before.peers[0].session_birth);
}

#[test]
fn a_tunnel_is_told_of_a_keepalive_while_it_runs() {
    let gateway = Gateway::start();
    let (tunnel, _outbound) = start(gateway.settings(&[]), || None);
    assert_eq!(gateway.datagrams(), 0);
    tunnel.set_persistent_keepalive(gateway.key, 1).unwrap();
    wait_for("the session", || tunnel.status().unwrap().is_up());
    assert_eq!(tunnel.status().unwrap().peers[0].persistent_keepalive, 1);
}
