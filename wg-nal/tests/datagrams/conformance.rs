//! What all adapters do alike.

use std::net::{IpAddr, SocketAddr};

use futures_lite::future::{poll_once, yield_now};
use wg_core::Endpoint;
use wg_nal::{Datagrams, UnderlayError};

/// Where two adapters are bound.
#[derive(Clone, Copy)]
pub(crate) struct Pair {
    pub(crate) a: SocketAddr,
    pub(crate) b: SocketAddr,
    /// The stack tells the local address of a datagram.
    pub(crate) tells_local: bool,
}

pub(crate) async fn conformance<A, B, EA, EB>(pair: Pair, alice: &mut A, bob: &mut B)
where
    A: Datagrams<Error = UnderlayError<EA>>,
    B: Datagrams<Error = UnderlayError<EB>>,
    EA: std::fmt::Debug,
    EB: std::fmt::Debug,
{
    arrives_whole_with_its_source(pair, alice, bob).await;
    too_long_is_an_error(pair, alice, bob).await;
    what_the_buffer_cannot_hold_does_no_harm(pair, alice, bob).await;
    a_dropped_receive_loses_nothing(pair, alice, bob).await;
}

fn largest(to: IpAddr) -> usize {
    if to.is_ipv4() { 1472 } else { 1452 }
}

/// Every length that matters, the empty datagram among them, and the reply to each.
async fn arrives_whole_with_its_source<A: Datagrams, B: Datagrams>(
    pair: Pair,
    alice: &mut A,
    bob: &mut B,
) {
    let mut buf = [0; 2000];
    let largest = largest(pair.b.ip());
    for len in [0, 1, 32, 92, 148, 1000, largest] {
        let datagram: Vec<u8> = (0..len).map(|at| at as u8 ^ len as u8).collect();
        alice.send(Endpoint { remote: pair.b, local: None }, &datagram).await.unwrap();
        let (received, source) = bob.receive(&mut buf).await.unwrap();
        assert_eq!(&buf[..received], &datagram);
        assert_eq!(source.remote, pair.a);
        assert_eq!(source.local, pair.tells_local.then_some(pair.b.ip()));

        bob.send(source.into(), &datagram).await.unwrap();
        let (received, source) = alice.receive(&mut buf).await.unwrap();
        assert_eq!((&buf[..received], source.remote), (&datagram[..], pair.b));
    }
}

async fn too_long_is_an_error<A, B, E>(pair: Pair, alice: &mut A, bob: &mut B)
where
    A: Datagrams<Error = UnderlayError<E>>,
    B: Datagrams,
    E: std::fmt::Debug,
{
    let to = Endpoint { remote: pair.b, local: None };
    let largest = largest(pair.b.ip());
    assert_eq!(alice.largest_datagram(pair.b.ip()), largest);
    for len in [largest + 1, 9000] {
        let sent = alice.send(to, &vec![1; len]).await;
        assert!(
            matches!(sent, Err(UnderlayError::TooLong { largest: told }) if told == largest),
            "{len} bytes: {sent:?}"
        );
    }
    // Nothing of it left, and the next datagram does.
    alice.send(to, b"next").await.unwrap();
    let mut buf = [0; 2000];
    assert_eq!(bob.receive(&mut buf).await.unwrap().0, 4);
}

async fn what_the_buffer_cannot_hold_does_no_harm<A: Datagrams, B: Datagrams>(
    pair: Pair,
    alice: &mut A,
    bob: &mut B,
) {
    let to = Endpoint { remote: pair.b, local: None };
    alice.send(to, &[1; 200]).await.unwrap();
    alice.send(to, &[2; 50]).await.unwrap();
    let mut buf = [0; 100];
    // Dropped, or cut where the stack does not tell; what is behind it comes whole.
    let mut received = bob.receive(&mut buf).await.unwrap().0;
    if buf[0] == 1 {
        assert_eq!(received, 100);
        received = bob.receive(&mut buf).await.unwrap().0;
    }
    assert_eq!(&buf[..received], &[2; 50]);
}

/// What the tunnel does to its receive whenever it has something to send.
async fn a_dropped_receive_loses_nothing<A: Datagrams, B: Datagrams>(
    pair: Pair,
    alice: &mut A,
    bob: &mut B,
) {
    let to = Endpoint { remote: pair.b, local: None };
    let mut buf = [0; 100];
    let mut taken = 0_u32;
    for number in 0..1000_u32 {
        let early = poll_once(bob.receive(&mut buf)).await;
        assert!(early.is_none(), "begun before there is anything, and dropped");
        alice.send(to, &number.to_be_bytes()).await.unwrap();
        // Dropped at whatever point of the datagram's way.
        let mut received = None;
        for _ in 0..number % 7 {
            received = poll_once(bob.receive(&mut buf)).await;
            if received.is_some() {
                break;
            }
            yield_now().await;
        }
        let received = match received {
            Some(received) => received,
            None => bob.receive(&mut buf).await,
        };
        assert_eq!(&buf[..received.unwrap().0], number.to_be_bytes(), "in order, none missing");
        taken += 1;
    }
    assert_eq!(taken, 1000);
}
