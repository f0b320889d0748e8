//! What a firmware author writes: sockets, and an unchanged HTTP client.

use core::fmt::Write as _;
use core::net::Ipv4Addr;

use embassy_executor::Spawner;
use embassy_net::dns::DnsSocket;
use embassy_net::tcp::client::{TcpClient, TcpClientState};
use embassy_net::udp::{PacketMetadata, UdpSocket};
use embassy_net::{Ipv4Cidr, Runner, Stack, StackResources, StaticConfigV4};
use embassy_time::{Duration, Instant, Ticker};
use reqwless::client::HttpClient;
use reqwless::request::{Method, RequestBuilder};
use static_cell::StaticCell;

use crate::board::{self, Card, print};
use crate::stack;

const OUTSIDE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
const URL: &str = "http://10.77.0.1/cgi-bin/uptime";

pub(crate) fn run(spawner: Spawner) {
    let mut seed = [0; 8];
    board::fill_random(&mut seed);
    static RESOURCES: StaticCell<StackResources<5>> = StaticCell::new();
    let config = embassy_net::Config::ipv4_static(StaticConfigV4 {
        address: Ipv4Cidr::new(OUTSIDE, 24),
        gateway: None,
        dns_servers: Default::default(),
    });
    let resources = RESOURCES.init_with(StackResources::new);
    let (outside, runner) =
        embassy_net::new(Card::start(), config, resources, u64::from_le_bytes(seed));
    spawner.spawn(run_outside(runner).expect("a place for the task"));
    spawner.spawn(echo(outside).expect("a place for the task"));
    spawner.spawn(post_uptime(outside).expect("a place for the task"));
}

#[embassy_executor::task]
async fn run_outside(mut runner: Runner<'static, Card>) -> ! {
    runner.run().await
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
async fn post_uptime(network: Stack<'static>) -> ! {
    let state = TcpClientState::<1, 1024, 1024>::new();
    let mut tcp = TcpClient::new(network, &state);
    tcp.set_timeout(Some(Duration::from_secs(10)));
    let dns = DnsSocket::new(network);
    let mut client = HttpClient::new(&tcp, &dns);
    let mut second = Ticker::every(Duration::from_secs(1));
    loop {
        second.next().await;
        match post(&mut client).await {
            Ok(status) => {
                let (used, of) = stack::high_water();
                print(format_args!("posted: {status}, stack {used} of {of} bytes\n"));
            }
            Err(error) => print(format_args!("not posted: {error:?}\n")),
        }
    }
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
