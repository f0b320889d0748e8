use std::net::SocketAddr;

use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use wg_core::{Ecn, INITIATION_LEN, PrivateKey, Received, Source};

use super::*;
use crate::clock::StampClock;
use crate::packets::HEAD_ROOM;
use crate::time::now;
use crate::underlay::{Family, Underlay};

/// Two devices with a session, and their sockets.
struct Pair {
    ours: Arc<Engine>,
    theirs: Arc<Engine>,
    our_socket: Underlay,
    their_socket: Underlay,
}

impl Pair {
    fn new() -> Self {
        let rng = &mut UnwrapErr(SysRng);
        let keys = [PrivateKey::generate(rng), PrivateKey::generate(rng)];
        let sockets = [0, 1].map(|_| Underlay::bind(0, 0).unwrap());
        let place = |socket: &Underlay| SocketAddr::from(([127, 0, 0, 1], socket.port()));
        let [mut ours, mut theirs] = [0, 1].map(|here: usize| {
            let mut device = Device::growing();
            device.set_private_key(now(), Some(&keys[here]));
            let peer = device.add_peer(&keys[1 - here].public_key()).unwrap();
            device.add_allowed_ip(peer, "10.9.0.0/24".parse().unwrap()).unwrap();
            device.set_endpoint(now(), peer, place(&sockets[1 - here]));
            device
        });
        let from = |socket| Source { remote: place(socket), local: None, ecn: Ecn::NotCapable };
        let peer = ours.peers().next().unwrap();
        ours.connect(now(), peer);
        let mut buffer = [0; INITIATION_LEN];
        let mut clock = StampClock::system();
        let initiation = ours.poll_transmit(now(), &mut clock, rng, &mut buffer).unwrap();
        let Ok(Received::Reply(reply)) =
            theirs.handle_datagram(now(), rng, from(&sockets[0]), initiation.datagram)
        else {
            panic!("no reply");
        };
        ours.handle_datagram(now(), rng, from(&sockets[1]), reply.datagram).unwrap();
        let [our_socket, their_socket] = sockets;
        let [ours, theirs] = [ours, theirs].map(|device| Arc::new(Engine::new(device)));
        Self { ours, theirs, our_socket, their_socket }
    }
}

fn crew_of(engine: &Arc<Engine>, most: usize) -> Crew {
    let mut crew = Crew::new(Arc::clone(engine));
    crew.most = most;
    crew
}

/// An IPv4 packet with a number in it.
fn packet(number: u32) -> Vec<u8> {
    let length = 1000u16.to_be_bytes();
    let mut packet = vec![0x45, 0, length[0], length[1], 0, 0, 0, 0, 64, 17, 0, 0];
    packet.extend([10, 9, 0, 1, 10, 9, 0, 2]);
    packet.extend(number.to_be_bytes());
    packet.resize(1000, 0);
    packet
}

/// Numbers that arrived, in the order in which the host is given them.
fn hand_over(crew: &mut Crew, numbers: &mut Vec<u32>) {
    while let Some(Work::Open(mut arrived)) = crew.take() {
        for packet in arrived.packets.take() {
            let number = packet[HEAD_ROOM + 20..][..4].try_into().unwrap();
            numbers.push(u32::from_be_bytes(number));
        }
    }
}

#[tokio::test]
async fn packets_keep_their_order_on_any_number_of_threads() {
    for threads in [0, 1, 3] {
        let pair = Pair::new();
        let mut sealers = crew_of(&pair.ours, threads);
        let mut openers = crew_of(&pair.theirs, threads);
        let mut numbers = Vec::new();
        let mut next = 0..;
        for _ in 0..10 {
            for last in [false, false, false, true] {
                let mut departing = Departing::new(1420);
                while !departing.batch.is_full() {
                    assert!(departing.batch.push(&packet(next.next().unwrap())));
                }
                departing.begin(now(), &mut pair.ours.lock(), |error, _| panic!("{error}"));
                let work = Work::Seal(departing);
                if last { sealers.finish(work) } else { sealers.begin(work) }
            }
            while let Some(Work::Seal(departing)) = sealers.take() {
                for train in departing.sealed.trains() {
                    pair.our_socket.send(&train).await.unwrap();
                }
            }
            let sent = next.start as usize;
            while numbers.len() < sent {
                pair.their_socket.readable().await.unwrap();
                let mut arrived = Arrived::new();
                while pair.their_socket.receive(Family::V4, &mut arrived.inbox).unwrap() {
                    arrived.begin(now(), &mut pair.theirs.lock());
                    openers.begin(Work::Open(arrived));
                    if openers.begun.len() > threads {
                        hand_over(&mut openers, &mut numbers);
                    }
                    arrived = Arrived::new();
                }
                hand_over(&mut openers, &mut numbers);
            }
        }
        assert_eq!(numbers, (0..next.start).collect::<Vec<_>>(), "{threads} threads");
        assert_eq!((sealers.workers.len(), openers.workers.len()), (threads, threads));
    }
}
