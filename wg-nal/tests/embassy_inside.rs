//! Stacks of embassy-net in the tunnel, two of them in one process.
//!
//! The tunnel's time is virtual. embassy's is real, and stands almost still while the other one
//! jumps: only the order of its timers matters here.

mod virtual_network;

use std::cell::Cell;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::Duration;

use embassy_net::tcp::TcpSocket;
use embassy_net::udp::{PacketMetadata, UdpSocket};
use embassy_net::{Config, Ipv4Cidr, Stack, StackResources, StaticConfigV4};
use embedded_nal_async::{ConnectedUdp, UdpStack, UnconnectedUdp};
use virtual_network::host::{Host, host, introduce, key_of, run};
use virtual_network::{Network, Simulation, address_of};
use wg_core::PresharedKey;
use wg_nal::{LinkPolicy, Peer, UdpBuffers, UdpPool};

const SECOND: Duration = Duration::from_secs(1);
const PORT: u16 = 80;

fn inside(host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, host)
}

/// Gives a host's tunnel to a stack, which runs from now on.
fn stack(simulation: &mut Simulation<'_>, host: Host, number: u8) -> Stack<'static> {
    let config = Config::ipv4_static(StaticConfigV4 {
        address: Ipv4Cidr::new(inside(number), 16),
        gateway: Some(inside(1)),
        dns_servers: Default::default(),
    });
    let resources: &mut StackResources<4> = Box::leak(Box::new(StackResources::new()));
    let (stack, mut runner) =
        embassy_net::new(host.interface, config, resources, u64::from(number));
    simulation.spawn(async move { runner.run().await });
    stack
}

/// A client whose link is up while there is a session, and a server.
fn client_and_server(network: &Rc<Network>) -> (Host, Host) {
    let (mut client, server) = (host(network, 1), host(network, 2));
    client.interface.set_link_policy(LinkPolicy::Session);
    introduce(&client, &server);
    (client, server)
}

/// Answers each line of each connection with itself, for ever.
async fn serve(stack: Stack<'static>) {
    let (mut rx, mut tx) = ([0; 1024], [0; 1024]);
    loop {
        let mut socket = TcpSocket::new(stack, &mut rx, &mut tx);
        socket.accept(PORT).await.unwrap();
        let mut bytes = [0; 512];
        while let Ok(len @ 1..) = socket.read(&mut bytes).await {
            let mut rest = &bytes[..len];
            while let [_, ..] = rest {
                let written = socket.write(rest).await.unwrap();
                rest = &rest[written..];
            }
        }
        socket.close();
        let _ = socket.flush().await;
    }
}

async fn exchange(socket: &mut TcpSocket<'_>, text: &[u8]) {
    assert_eq!(socket.write(text).await, Ok(text.len()));
    let mut answer = [0; 64];
    let mut have = 0;
    while have < text.len() {
        have += socket.read(&mut answer[have..]).await.unwrap();
    }
    assert_eq!(&answer[..have], text);
}

async fn post(stack: Stack<'static>, text: &[u8]) {
    stack.wait_link_up().await;
    let (mut rx, mut tx) = ([0; 1024], [0; 1024]);
    let mut socket = TcpSocket::new(stack, &mut rx, &mut tx);
    socket.connect((inside(2), PORT)).await.unwrap();
    exchange(&mut socket, text).await;
    socket.close();
    socket.flush().await.unwrap();
}

#[test]
fn an_application_that_waits_for_the_link_and_then_connects_does_so_twice() {
    let network = Network::new();
    let (mut client, mut server) = client_and_server(&network);
    let mut simulation = Simulation::new(&network);
    run(&mut simulation, &mut client);
    run(&mut simulation, &mut server);
    let handle = client.handle.clone();
    let client = stack(&mut simulation, client, 1);
    let server = stack(&mut simulation, server, 2);
    simulation.spawn(serve(server));
    simulation.block_on_live(10 * SECOND, post(client, b"uptime 1"));
    simulation.run_for(600 * SECOND);
    simulation.block_on_live(10 * SECOND, post(client, b"uptime 601"));
    simulation.run_for(SECOND);
    assert_eq!(handle.waiting(), 0);
    assert_eq!(handle.counters(), Default::default(), "nothing was dropped");
}

/// The same when nobody answers at first: the link is what the application waits for.
#[test]
fn an_application_waits_for_a_server_that_comes_later() {
    let network = Network::new();
    let (mut client, mut server) = client_and_server(&network);
    let mut simulation = Simulation::new(&network);
    run(&mut simulation, &mut client);
    let client = stack(&mut simulation, client, 1);
    simulation.run_for(600 * SECOND);
    assert!(!client.is_link_up());
    run(&mut simulation, &mut server);
    let server = stack(&mut simulation, server, 2);
    simulation.spawn(serve(server));
    simulation.block_on_live(16 * SECOND, post(client, b"at last"));
}

#[test]
fn a_connection_survives_ten_idle_minutes_and_the_rekeys_in_them() {
    let network = Network::new();
    let (mut client, mut server) = client_and_server(&network);
    let mut simulation = Simulation::new(&network);
    run(&mut simulation, &mut client);
    run(&mut simulation, &mut server);
    let client = stack(&mut simulation, client, 1);
    let server = stack(&mut simulation, server, 2);
    simulation.spawn(serve(server));
    let buffers: &mut [[u8; 1024]; 2] = Box::leak(Box::new([[0; 1024]; 2]));
    let [rx, tx] = buffers;
    let mut socket = TcpSocket::new(client, rx, tx);
    simulation.block_on_live(10 * SECOND, async {
        client.wait_link_up().await;
        socket.connect((inside(2), PORT)).await.unwrap();
        exchange(&mut socket, b"before").await;
    });
    simulation.run_for(600 * SECOND);
    simulation.block_on_live(10 * SECOND, exchange(&mut socket, b"after"));
}

/// A client of embedded-nal-async, such as an SNTP client, on a stack that has none of its UDP.
#[test]
fn udp_of_embedded_nal_async_works_inside() {
    let network = Network::new();
    let (mut client, mut server) = client_and_server(&network);
    let mtu = u16::try_from(client.interface.mtu()).unwrap();
    let mut simulation = Simulation::new(&network);
    run(&mut simulation, &mut client);
    run(&mut simulation, &mut server);
    let client = stack(&mut simulation, client, 1);
    let server = stack(&mut simulation, server, 2);
    let (mut m1, mut m2) = (UdpBuffers::<1, 4, 6000>::new(), UdpBuffers::<1, 4, 6000>::new());
    let (p1, p2) = (UdpPool::new(client, mtu, &mut m1), UdpPool::new(server, mtu, &mut m2));
    let service = (inside(2), 123).into();
    simulation.block_on_live(10 * SECOND, async {
        client.wait_link_up().await;
        let mut bound = p2.nal().bind_multiple(service).await.unwrap();
        let (_, mut asking) = p1.nal().connect(service).await.unwrap();
        let largest = usize::from(mtu) - 28;
        for len in [0, 48, largest] {
            asking.send(&vec![7; len]).await.unwrap();
            let mut buf = [0; 1500];
            let (came, local, remote) = bound.receive_into(&mut buf).await.unwrap();
            assert_eq!((came, local), (len, service));
            bound.send(local, remote, &buf[..came]).await.unwrap();
            assert_eq!(asking.receive_into(&mut buf).await.unwrap(), len);
        }
        assert!(asking.send(&vec![7; largest + 1]).await.is_err(), "it would not fit");
    });
}

/// All room for packets to send is taken by packets for a peer that does not answer. What comes
/// from another one is received, and answered.
#[test]
fn a_full_send_queue_holds_back_neither_receiving_nor_answers() {
    let network = Network::new();
    let (mut client, mut server) = client_and_server(&network);
    let nobody = Peer {
        public_key: &key_of(9).public_key(),
        preshared_key: &PresharedKey::NONE,
        endpoint: Some(address_of(9)),
        allowed_ips: &["10.0.9.0/24".parse().unwrap()],
        persistent_keepalive: 0,
    };
    // The server is the one whose queue is full.
    server.handle.set_peer(&nobody).unwrap();
    let mut simulation = Simulation::new(&network);
    run(&mut simulation, &mut client);
    run(&mut simulation, &mut server);
    let handle = server.handle.clone();
    let client = stack(&mut simulation, client, 1);
    let server = stack(&mut simulation, server, 2);
    simulation.spawn(serve(server));
    let sent = Rc::new(Cell::new(0));
    let flooded = sent.clone();
    simulation.spawn(async move {
        let mut meta = [PacketMetadata::EMPTY; 8];
        let (mut rx, mut tx) = ([0; 64], [0; 2048]);
        let mut socket = UdpSocket::new(server, &mut [], &mut rx, &mut meta, &mut tx);
        socket.bind(7).unwrap();
        loop {
            socket.send_to(&[7; 200], (Ipv4Addr::new(10, 0, 9, 1), 7)).await.unwrap();
            flooded.set(flooded.get() + 1);
            // One of them at a time, so that the room is taken all the while.
            embassy_time::Timer::after_millis(1).await;
        }
    });
    simulation.block_on_live(10 * SECOND, async {
        while handle.waiting() < 3 {
            embassy_time::Timer::after_millis(1).await;
        }
    });
    for _ in 0..5 {
        simulation.block_on_live(20 * SECOND, post(client, b"hello"));
        // Until the server listens again.
        simulation.block_on_live(SECOND, embassy_time::Timer::after_millis(100));
        assert_eq!(handle.waiting(), 3, "the queue is full still");
    }
    let counters = handle.counters();
    assert!(counters.displaced > 20 && sent.get() > 20, "{counters:?}");
    assert_eq!(counters.overrun, 0);
}
