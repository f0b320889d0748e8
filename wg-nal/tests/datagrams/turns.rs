//! What becomes of datagrams when the stack of embassy-net does not get its turn at once.

use std::net::SocketAddr;
use std::time::Duration;

use embassy_net::StackResources;
use embassy_net::driver::{HardwareAddress, LinkState};
use embassy_net_driver_channel::{Device, State, new};
use embedded_nal_async::{ConnectedUdp, UdpStack, UnconnectedUdp};
use futures_lite::future::{block_on, or, poll_once};
use wg_core::Endpoint;
use wg_nal::{CancelSafe, Datagrams, EdgeUdp, EmbassyUdp, UdpBuffers, UdpPool};

use crate::two_stacks::{PORT, carry, config, over_two_stacks, v4};
use crate::{Memory, last_first};

#[test]
fn a_full_buffer_of_embassy_net_is_emptied_on_an_executor_that_prefers_who_was_woken_last() {
    let (mut s1, mut s2) = (State::<1500, 8, 8>::new(), State::<1500, 8, 8>::new());
    let (wire1, device1): (_, Device<'_, 1500>) = new(&mut s1, HardwareAddress::Ip);
    let (wire2, device2): (_, Device<'_, 1500>) = new(&mut s2, HardwareAddress::Ip);
    let (mut r1, mut r2) = (StackResources::<4>::new(), StackResources::<4>::new());
    let (one, mut run1) = embassy_net::new(device1, config(1), &mut r1, 1);
    let (_two, mut run2) = embassy_net::new(device2, config(2), &mut r2, 2);
    let (state1, _rx1, tx1) = wire1.split();
    let (state2, rx2, _tx2) = wire2.split();
    state1.set_link_state(LinkState::Up);
    state2.set_link_state(LinkState::Up);
    let test = async {
        one.wait_link_up().await;
        let mut memory = Memory::new();
        let mut alice = memory.socket(one);
        alice.bind(PORT).unwrap();
        let mut alice = EmbassyUdp::new(&mut alice, 1500);
        // Three times as many as there is room for.
        for number in 0..6 {
            let to = Endpoint { remote: v4(2), local: None };
            assert_eq!(alice.send(to, b"one of six").await, Ok(()), "number {number}");
        }
    };
    last_first::run(vec![
        Box::pin(async { run1.run().await }),
        Box::pin(async { run2.run().await }),
        Box::pin(carry(tx1, rx2)),
        Box::pin(test),
    ]);
}

/// The tunnel computes for longer than a cookie reply may wait for its neighbour: the stack had
/// no turn meanwhile, and nothing is wrong with it.
#[test]
fn a_stack_of_embassy_net_that_had_no_turn_is_not_taken_for_stuck() {
    over_two_stacks(1500, true, async |one, two| {
        let (mut m1, mut m2) = (Memory::new(), Memory::new());
        let (mut alice, mut bob) = (m1.socket(one), m2.socket(two));
        alice.bind(PORT).unwrap();
        bob.bind(PORT).unwrap();
        let mut alice = EmbassyUdp::new(&mut alice, 1500);
        let mut bob = EmbassyUdp::new(&mut bob, 1500);
        let to = |host| Endpoint { remote: v4(host), local: None };
        bob.send(to(1), b"an initiation").await.unwrap();
        embassy_time::Timer::after_millis(50).await;

        let cookie_reply = [[3].as_slice(), &[0; 63]].concat();
        alice.send(to(2), &cookie_reply).await.unwrap();
        std::thread::sleep(Duration::from_millis(150));
        alice.send(to(2), b"a response").await.unwrap();
        let mut buf = [0; 100];
        let both = async {
            assert_eq!(bob.receive(&mut buf).await.unwrap().0, 64);
            assert_eq!(bob.receive(&mut buf).await.unwrap().0, 10);
            assert_eq!(alice.receive(&mut buf).await.unwrap().0, 13);
        };
        or(both, async {
            embassy_time::Timer::after_millis(500).await;
            panic!("a datagram was thrown away");
        })
        .await;
    });
}

/// A client that reports something and goes, such as one of syslog.
#[test]
fn what_a_socket_of_udp_nal_took_is_sent_though_the_socket_is_dropped() {
    over_two_stacks(1500, true, async |one, two| {
        let (mut m1, mut m2) = (UdpBuffers::<2, 4, 4000>::new(), UdpBuffers::<1, 4, 4000>::new());
        let (p1, p2) = (UdpPool::new(one, 1500, &mut m1), UdpPool::new(two, 1500, &mut m2));
        let mut server = p2.nal().bind_multiple(v4(2)).await.unwrap();
        let heard = async {
            for number in 0..10 {
                let (_, mut client) = p1.nal().connect(v4(2)).await.unwrap();
                client.send(&[number]).await.unwrap();
                drop(client);
                let mut buf = [0; 100];
                server.receive_into(&mut buf).await.unwrap();
                assert_eq!(buf[0], number);
            }
            // A dropped socket holds its port no longer than it has something to send.
            let (at, first) = p1.nal().bind_single(v4(1)).await.unwrap();
            drop(first);
            let (_, mut second) = p1.nal().bind_single(v4(1)).await.unwrap();
            server.send(v4(2), at, b"for the second").await.unwrap();
            assert_eq!(second.receive_into(&mut [0; 100]).await.unwrap().0, 14);
        };
        or(heard, async {
            embassy_time::Timer::after_secs(2).await;
            panic!("a datagram was lost");
        })
        .await;
    });
}

/// A client of a fixed port that is begun anew.
#[test]
fn who_binds_a_port_again_sends_what_was_left_and_hears_nothing_that_is_old() {
    over_two_stacks(1500, true, async |one, two| {
        let (mut m1, mut m2) = (UdpBuffers::<2, 4, 4000>::new(), UdpBuffers::<1, 4, 4000>::new());
        let (p1, p2) = (UdpPool::new(one, 1500, &mut m1), UdpPool::new(two, 1500, &mut m2));
        let mut server = p2.nal().bind_multiple(v4(2)).await.unwrap();
        let mut buf = [0; 100];
        let heard = async {
            let (_, mut first) = p1.nal().bind_single(v4(1)).await.unwrap();
            server.send(v4(2), v4(1), b"for the first").await.unwrap();
            embassy_time::Timer::after_millis(50).await;
            first.send(v4(1), v4(2), b"last words").await.unwrap();
            drop(first);
            let (at, mut second) = p1.nal().bind_single(v4(1)).await.unwrap();
            assert_eq!(at, v4(1));
            assert_eq!(server.receive_into(&mut buf).await.unwrap().0, 10);
            server.send(v4(2), v4(1), b"for the second one").await.unwrap();
            assert_eq!(second.receive_into(&mut buf).await.unwrap().0, 18);
            second.send(v4(1), v4(2), b"first words").await.unwrap();
            assert_eq!(server.receive_into(&mut buf).await.unwrap().0, 11);
        };
        or(heard, async {
            embassy_time::Timer::after_secs(2).await;
            panic!("a datagram was lost");
        })
        .await;
    });
}

/// A socket in which there is always another datagram that is longer than the buffer.
struct TooLong(u32);

impl TooLong {
    async fn next(&mut self) -> usize {
        self.0 += 1;
        assert!(self.0 < 1000, "nobody else had a turn");
        2000
    }
}

impl UnconnectedUdp for TooLong {
    type Error = std::convert::Infallible;

    async fn send(&mut self, _: SocketAddr, _: SocketAddr, _: &[u8]) -> Result<(), Self::Error> {
        Ok(())
    }

    async fn receive_into(
        &mut self,
        _: &mut [u8],
    ) -> Result<(usize, SocketAddr, SocketAddr), Self::Error> {
        Ok((self.next().await, v4(1), v4(2)))
    }
}

impl edge_nal::io::ErrorType for TooLong {
    type Error = std::convert::Infallible;
}

impl edge_nal::UdpSend for TooLong {
    async fn send(&mut self, _: SocketAddr, _: &[u8]) -> Result<(), Self::Error> {
        Ok(())
    }
}

impl edge_nal::UdpReceive for TooLong {
    async fn receive(&mut self, _: &mut [u8]) -> Result<(usize, SocketAddr), Self::Error> {
        Ok((self.next().await, v4(2)))
    }
}

#[test]
fn a_flood_of_datagrams_too_long_leaves_others_their_turns() {
    let mut nal_async = CancelSafe::new(TooLong(0), v4(1));
    let mut edge = EdgeUdp::new(TooLong(0));
    let mut buf = [0; 1468];
    assert!(block_on(poll_once(nal_async.receive(&mut buf))).is_none());
    assert!(block_on(poll_once(edge.receive(&mut buf))).is_none());
}
