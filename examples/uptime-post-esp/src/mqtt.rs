//! Publishes by MQTT how long the board has been up, over whatever carries bytes.

use alloc::format;
use core::convert::Infallible;

use embassy_net::Stack;
use embassy_net::dns::{DnsQueryType, DnsSocket};
use embassy_net::tcp::TcpSocket;
use embassy_time::{Duration, Instant, Timer};
use embedded_io_async::{Read, Write};
use esp_println::println;
use rust_mqtt::Bytes;
use rust_mqtt::buffer::BumpBuffer;
use rust_mqtt::client::Client;
use rust_mqtt::client::options::{ConnectOptions, PublicationOptions, TopicReference};
use rust_mqtt::types::{MqttString, TopicName};

use crate::board::Error;

/// The broker's name or address: set `MQTT_BROKER` at build time.
pub const BROKER: &str = match option_env!("MQTT_BROKER") {
    Some(host) => host,
    None => "10.9.0.1",
};

/// Publishes through a TCP connection, and makes a new one whenever that ends.
pub async fn publish_uptime(network: Stack<'static>) -> Infallible {
    let (mut rx, mut tx) = ([0; 2048], [0; 2048]);
    loop {
        network.wait_link_up().await;
        let ended = match connect(network, &mut rx, &mut tx, 1883).await {
            Ok(socket) => publish(socket).await,
            Err(error) => error,
        };
        println!("not published: {ended}");
        Timer::after_secs(10).await;
    }
}

/// Connects to the broker.
pub async fn connect<'s>(
    network: Stack<'static>,
    rx: &'s mut [u8],
    tx: &'s mut [u8],
    port: u16,
) -> Result<TcpSocket<'s>, Error> {
    let dns = DnsSocket::new(network);
    let found = dns.query(BROKER, DnsQueryType::A).await;
    let found = found.map_err(|error| format!("{BROKER}: {error:?}"))?;
    let address = *found.first().ok_or("the broker has no address")?;
    let mut socket = TcpSocket::new(network, rx, tx);
    socket.set_timeout(Some(Duration::from_secs(15)));
    let connected = socket.connect((address, port)).await;
    connected.map_err(|error| format!("{address}: {error:?}"))?;
    Ok(socket)
}

/// Publishes every half minute until the connection ends, and says why it did.
pub async fn publish(connection: impl Read + Write) -> Error {
    let mut memory = [0; 1024];
    let mut buffer = BumpBuffer::new(&mut memory);
    let mut client = Client::<'_, '_, _, _, 0, 1, 1, 0, 0, 0, 0>::new(&mut buffer);
    let options = ConnectOptions::new().clean_start();
    if let Err(error) = client.connect(connection, &options, None).await {
        return format!("the broker: {error:?}");
    }
    let topic = MqttString::from_str("uptime").ok().and_then(TopicName::new);
    let Some(topic) = topic else { return "the topic is no topic".into() };
    let options = PublicationOptions::new(TopicReference::Name(topic));
    loop {
        let message = format!("{{\"uptime_ms\":{}}}", Instant::now().as_millis());
        match client.publish(&options, Bytes::from(message.as_bytes())).await {
            Ok(_) => println!("published: {message}"),
            Err(error) => return format!("the broker: {error:?}"),
        }
        Timer::after_secs(30).await;
    }
}
