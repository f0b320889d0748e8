//! What a firmware author writes: sockets, and an unchanged HTTP client.

use core::fmt::Write as _;

use embassy_executor::Spawner;
use embassy_net::Stack;
use embassy_net::dns::DnsSocket;
use embassy_net::tcp::client::{TcpClient, TcpClientState};
use embassy_net::udp::{PacketMetadata, UdpSocket};
use embassy_time::{Duration, Instant, Ticker};
use reqwless::client::HttpClient;
use reqwless::request::{Method, RequestBuilder};

use crate::board::{self, print};
use crate::stack;
use crate::tunnel::{self, Handle};

/// Where the uptime goes: a server inside the tunnel.
const URL: &str = "http://10.9.0.1/cgi-bin/uptime";

pub(crate) fn run(spawner: Spawner) {
    match tunnel::start(spawner) {
        Ok((network, handle)) => {
            spawner.spawn(echo(network).expect("one of it"));
            spawner.spawn(post_uptime(network, handle).expect("one of it"));
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

/// Posts every second how long the board has been up.
#[embassy_executor::task]
async fn post_uptime(network: Stack<'static>, handle: Handle) -> ! {
    let state = TcpClientState::<1, 1024, 1024>::new();
    let mut tcp = TcpClient::new(network, &state);
    tcp.set_timeout(Some(Duration::from_secs(10)));
    let dns = DnsSocket::new(network);
    let mut client = HttpClient::new(&tcp, &dns);
    network.wait_link_up().await;
    let mut second = Ticker::every(Duration::from_secs(1));
    loop {
        match post(&mut client).await {
            Ok(status) => print(format_args!("posted: {status}\n")),
            Err(error) => print(format_args!("not posted: {error:?}\n")),
        }
        report(&handle);
        second.next().await;
    }
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
    print(format_args!("\n"));
}

async fn post(
    client: &mut HttpClient<'_, TcpClient<'_, 1, 1024, 1024>, DnsSocket<'_>>,
) -> Result<u16, reqwless::Error> {
    let mut body = Text::default();
    // As much as fits, and it does.
    let _ = writeln!(body, "{{\"uptime_ms\":{}}}", Instant::now().as_millis());
    let mut buffer = [0; 1024];
    let request = client.request(Method::POST, URL).await?;
    let mut request = request.body(body.bytes.get(..body.length).unwrap_or_default());
    Ok(request.send(&mut buffer).await?.status.0)
}

/// A line in the making.
#[derive(Default)]
struct Text {
    bytes: [u8; 32],
    length: usize,
}

impl core::fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let end = self.length + text.len();
        self.bytes
            .get_mut(self.length..end)
            .ok_or(core::fmt::Error)?
            .copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}
