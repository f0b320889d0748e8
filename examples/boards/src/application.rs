//! What the firmware does in the tunnel: the application of all boards, an echo, and moves.

use core::ops::ControlFlow;

use embassy_executor::Spawner;
use embassy_net::Stack;
use embassy_net::tcp::TcpSocket;
use embassy_net::udp::{PacketMetadata, UdpSocket};
use embassy_time::Duration;

use crate::board::{self, print};
use crate::stack;
use crate::tunnel::{self, Handle, Networks};

/// Where the uptime goes: a server inside the tunnel.
const URL: &str = "http://10.9.0.1/cgi-bin/uptime";

pub(crate) fn run(spawner: Spawner) {
    match tunnel::start(spawner) {
        Ok((networks, handle)) => {
            spawner.spawn(echo(networks.inside).expect("one of it"));
            spawner.spawn(take_addresses(networks).expect("one of it"));
            spawner.spawn(post_uptime(networks.inside, handle).expect("one of it"));
        }
        Err(error) => {
            print(format_args!("no tunnel: {error}\n"));
            board::exit(false);
        }
    }
}

/// Sends every datagram back to where it came from.
#[embassy_executor::task]
async fn echo(network: Stack<'static>) -> ! {
    let (mut receiving, mut sending) = ([0; 4096], [0; 4096]);
    let mut metadata = [[PacketMetadata::EMPTY; 8]; 2];
    let [receiving_metadata, sending_metadata] = &mut metadata;
    let mut socket =
        UdpSocket::new(network, receiving_metadata, &mut receiving, sending_metadata, &mut sending);
    socket.bind(7).expect("the port is free");
    let mut buffer = [0; 1500];
    loop {
        if let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            // A host that cannot be reached misses its echo.
            let _ = socket.send_to(&buffer[..length], from).await;
        }
    }
}

/// Takes the address that a connection brings as the board's own outside the tunnel.
#[embassy_executor::task]
async fn take_addresses(networks: Networks) -> ! {
    let (mut receiving, mut sending) = ([0; 64], [0; 64]);
    let mut socket = TcpSocket::new(networks.inside, &mut receiving, &mut sending);
    socket.set_timeout(Some(Duration::from_secs(10)));
    loop {
        let mut line = [0; 48];
        if socket.accept(7).await.is_ok()
            && let Ok(length) = socket.read(&mut line).await
            && let Ok(text) = core::str::from_utf8(&line[..length])
            && let Ok(address) = text.trim().parse()
        {
            tunnel::move_to(networks.outside, address);
        }
        socket.abort();
        // A connection that is gone takes nothing any more.
        let _ = socket.flush().await;
    }
}

/// Posts every second how long the board has been up, and tells the console of the tunnel.
#[embassy_executor::task]
async fn post_uptime(network: Stack<'static>, handle: Handle) -> ! {
    uptime::post_uptime_over(network, URL, Duration::from_secs(1), |outcome| {
        print(format_args!("{outcome}\n"));
        report(&handle);
        ControlFlow::Continue(())
    })
    .await
}

/// What the console is told each second.
fn report(handle: &Handle) {
    let (used, of) = stack::high_water();
    print(format_args!("status: stack {used} of {of}"));
    handle.for_each_peer(|_, peer| {
        print(format_args!(", in {}, out {}", peer.received_bytes, peer.sent_bytes));
        if let Some(endpoint) = peer.endpoint {
            print(format_args!(", at {endpoint}"));
        }
    });
    for (refusal, count) in handle.refusals().iter() {
        print(format_args!(", {} {count}", refusal.name()));
    }
    print(format_args!(", frames {}", board::frames()));
    let lost = handle.counters();
    for (name, count) in
        [("overrun", lost.overrun), ("displaced", lost.displaced), ("unsent", lost.unsent)]
    {
        print(format_args!(", {name} {count}"));
    }
    print(format_args!("\n"));
}
