//! Sealing and opening outside of the device, and what happens to it meanwhile.

mod oracle;
mod pair;

use std::time::Duration;

use oracle::{ATTACKER, Lone, counter_of};
use pair::{A_OUTER, Pair, packet};
use wg_core::{Received, Refusal, SendError, Source};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn jobs_are_sealed_and_opened_without_the_device() {
    let mut pair = Pair::connected();
    let packet = packet("10.0.0.1", "10.0.0.2", 77, 7);
    let jobs: Vec<_> =
        (0..8).map(|_| pair.a.device.begin_seal(pair.now, &packet).unwrap()).collect();
    let mut bufs: Vec<Vec<u8>> = jobs
        .iter()
        .map(|job| [&[0; 16], &packet[..], &[0; 31]].concat()[..job.datagram_len()].to_vec())
        .collect();
    let now = pair.now;
    std::thread::scope(|scope| {
        for (job, buf) in jobs.into_iter().zip(&mut bufs) {
            scope.spawn(move || job.seal(buf).map(drop).unwrap());
        }
    });
    // Last begun, first committed: the order of commits does not matter.
    let from = Source::from(A_OUTER.parse::<std::net::SocketAddr>().unwrap());
    let jobs: Vec<_> = bufs.iter().map(|buf| pair.b.device.begin_open(now, buf).unwrap()).collect();
    let opened: Vec<_> =
        jobs.into_iter().zip(&mut bufs).map(|(job, buf)| job.open(buf).unwrap()).collect();
    for opened in opened.into_iter().rev() {
        let received = pair.b.device.commit_open(now, from, opened).unwrap();
        assert_eq!(received, Received::Packet { peer: pair.ba, packet: &mut packet.clone() });
    }
}

#[test]
fn a_datagram_opened_twice_at_once_is_accepted_once() {
    let mut lone = Lone::new();
    let mut session = lone.called();
    let datagram = session.seal(&lone.incoming(5));
    let (mut one, mut two) = (datagram.clone(), datagram);
    let device = &mut lone.node.device;
    let first = device.begin_open(lone.now, &one).unwrap();
    let second = device.begin_open(lone.now, &two).unwrap();
    let (first, second) = (first.open(&mut one).unwrap(), second.open(&mut two).unwrap());
    assert!(device.commit_open(lone.now, lone.home.into(), second).is_ok());
    let attacker: std::net::SocketAddr = ATTACKER.parse().unwrap();
    let before = lone.view();
    let refused = lone.node.device.commit_open(lone.now, attacker.into(), first);
    assert_eq!(refused, Err(Refusal::Replayed));
    assert_eq!(lone.view(), before);
}

/// Begins and opens or seals, lets `meanwhile` happen, and commits.
#[test]
fn a_preview_says_where_a_packet_would_go_and_how_long_it_would_be_and_changes_nothing() {
    let mut lone = Lone::new();
    lone.called();
    let before = lone.view();
    for len in [0, 1, 11, 12, 500, 1380] {
        let packet = lone.outgoing(len);
        let (to, datagram_len) = lone.node.device.preview(&packet).unwrap();
        assert_eq!(lone.view(), before);
        let job = lone.node.device.begin_seal(lone.now, &packet).unwrap();
        assert_eq!(datagram_len, job.datagram_len());
        assert_eq!(Some(to.remote), lone.node.device.endpoint(lone.peer));
    }
    let nowhere = packet("10.0.0.1", "198.51.100.1", 5, 0);
    for refused in [&b"no packet"[..], &nowhere] {
        assert_eq!(lone.node.device.preview(refused), None);
    }
    let packet = lone.outgoing(1);
    lone.node.device.down();
    assert_eq!(lone.node.device.preview(&packet), None);
    assert_eq!(lone.node.device.refusals().iter().map(|(_, count)| count).sum::<u32>(), 0);
}

fn too_late(meanwhile: impl Fn(&mut Lone)) {
    let mut lone = Lone::new();
    let mut session = lone.called();
    let mut datagram = session.seal(&lone.incoming(5));
    let job = lone.node.device.begin_open(lone.now, &datagram).unwrap();
    let opened = job.open(&mut datagram).unwrap();
    meanwhile(&mut lone);
    let before = lone.view();
    let refused = lone.node.device.commit_open(lone.now, lone.home.into(), opened);
    assert_eq!(refused, Err(Refusal::SessionGone));
    assert_eq!(lone.node.device.refusals().count(Refusal::SessionGone), 1);
    assert_eq!(lone.view(), before);

    let mut lone = Lone::new();
    lone.called();
    let packet = lone.outgoing(5);
    let job = lone.node.device.begin_seal(lone.now, &packet).unwrap();
    let mut buf = [&[0; 16], &packet[..], &[0; 23]].concat();
    let sealed = job.seal(&mut buf).unwrap();
    meanwhile(&mut lone);
    let before = lone.view();
    let refused = lone.node.device.commit_seal(lone.now, sealed);
    assert_eq!(refused, Err(Refusal::SessionGone));
    assert_eq!(lone.view(), before);

    let mut lone = Lone::new();
    let mut session = lone.called();
    let mut forged = session.seal(&[1]);
    forged[16] ^= 1;
    let job = lone.node.device.begin_open(lone.now, &forged).unwrap();
    let forged = job.open(&mut forged).unwrap_err();
    meanwhile(&mut lone);
    let before = lone.view();
    assert_eq!(lone.node.device.commit_forged(forged), Refusal::Forged);
    assert_eq!(lone.node.device.refusals().count(Refusal::Forged), 1);
    assert_eq!(lone.view(), before);
}

#[test]
fn a_commit_after_the_peer_was_removed_is_a_counted_drop() {
    too_late(|lone| lone.node.device.remove_peer(lone.peer));
    too_late(|lone| {
        // Another peer in the same slot, with a session of its own.
        lone.node.device.remove_peer(lone.peer);
        let public = wg_core::PublicKey::from_bytes(lone.us.public);
        lone.peer = lone.node.meet(public, &["10.0.0.1/32"], Some(A_OUTER));
        lone.called();
    });
}

#[test]
fn a_commit_after_the_session_was_replaced_twice_is_a_counted_drop() {
    too_late(|lone| {
        for _ in 0..3 {
            lone.wait(SECOND);
            lone.called();
        }
    });
    too_late(|lone| lone.node.device.down());
}

#[test]
fn a_commit_in_the_previous_session_still_counts() {
    let mut lone = Lone::new();
    let mut session = lone.called();
    let incoming = lone.incoming(5);
    let mut datagram = session.seal(&incoming);
    let job = lone.node.device.begin_open(lone.now, &datagram).unwrap();
    let opened = job.open(&mut datagram).unwrap();
    lone.wait(SECOND);
    lone.called();
    let received = lone.node.device.commit_open(lone.now, lone.home.into(), opened);
    assert!(matches!(received, Ok(Received::Packet { .. })));
}

#[test]
fn a_commit_at_another_device_is_a_counted_drop() {
    let (mut lone, mut other) = (Lone::new(), Lone::new());
    let mut session = lone.called();
    // The very same indices and keys, in other memory.
    let mut same = other.called();
    assert_eq!(session.remote, same.remote);
    let mut datagram = session.seal(&lone.incoming(5));
    let opened =
        lone.node.device.begin_open(lone.now, &datagram).unwrap().open(&mut datagram).unwrap();
    let refused = other.node.device.commit_open(other.now, other.home.into(), opened);
    assert_eq!(refused, Err(Refusal::SessionGone));

    let packet = lone.outgoing(5);
    let job = lone.node.device.begin_seal(lone.now, &packet).unwrap();
    let mut buf = [&[0; 16], &packet[..], &[0; 23]].concat();
    let sealed = job.seal(&mut buf).unwrap();
    assert_eq!(other.node.device.commit_seal(other.now, sealed), Err(Refusal::SessionGone));

    let fresh = same.seal(&[]);
    assert!(other.hear(&fresh).is_ok());
}

#[test]
fn a_job_opens_nothing_but_its_own_datagram() {
    let mut lone = Lone::new();
    let mut session = lone.called();
    let (one, mut two) = (session.seal(&lone.incoming(5)), session.seal(&lone.incoming(5)));
    let job = lone.node.device.begin_open(lone.now, &one).unwrap();
    assert!(job.open(&mut two).is_err());
    for len in 0..32 {
        let job = lone.node.device.begin_open(lone.now, &one).unwrap();
        assert!(job.open(&mut one.clone()[..len]).is_err());
    }
    for message in [lone.initiate().bytes, vec![], vec![4, 0, 0, 0], vec![3; 64]] {
        let refused = lone.node.device.begin_open(lone.now, &message).unwrap_err();
        assert_eq!(refused, Refusal::Malformed);
    }
}

#[test]
fn a_nonce_is_never_used_again_even_when_the_send_fails() {
    let mut lone = Lone::new();
    lone.called();
    let packet = lone.outgoing(5);
    drop(lone.node.device.begin_seal(lone.now, &packet).unwrap());
    let job = lone.node.device.begin_seal(lone.now, &packet).unwrap();
    assert!(matches!(job.seal(&mut [0; 20]), Err(SendError::BufferTooSmall { needed: 64 })));
    let mut buf = [&[0; 16], &packet[..], &[0; 23]].concat();
    drop(lone.node.device.begin_seal(lone.now, &packet).unwrap().seal(&mut buf).unwrap());
    assert_eq!(counter_of(&lone.node.seal(lone.now, &packet).unwrap().bytes), 3);
}

#[test]
fn what_is_begun_and_not_committed_tells_no_timer() {
    let mut lone = Lone::new();
    let mut session = lone.called();
    let before = lone.view();
    let mut datagram = session.seal(&lone.incoming(5));
    let job = lone.node.device.begin_open(lone.now, &datagram).unwrap();
    drop(job.open(&mut datagram).unwrap());
    let packet = lone.outgoing(5);
    drop(lone.node.device.begin_seal(lone.now, &packet).unwrap());
    assert_eq!(lone.view(), before);
}
