//! Two MQTT clients on a board, through a tunnel to a mosquitto behind the gateway.
//!
//! minimq subscribes, rust-mqtt publishes, and what arrives is what was sent. Both are as they
//! are, over TCP sockets of the stack in the tunnel.

mod broker;

use anyhow::{Context, Result, anyhow, ensure};
use embassy_net::tcp::TcpSocket;
use embassy_time::{Duration, Instant};
use gateway::{Board, GATEWAY, Service};
use minimq::{Buffers, ConfigBuilder, Session, TopicFilter};
use rust_mqtt::Bytes;
use rust_mqtt::buffer::BumpBuffer;
use rust_mqtt::client::Client;
use rust_mqtt::client::event::Event;
use rust_mqtt::client::options::{
    ConnectOptions, DisconnectOptions, PublicationOptions, TopicReference,
};
use rust_mqtt::types::{MqttString, TopicName};

use crate::broker::Broker;

const PORT: u16 = 1883;
const TOPIC: &str = "board/uptime";
const MESSAGES: usize = 3;

fn main() -> Result<()> {
    let broker = Broker::start()?;
    println!("broker   mosquitto on {}", broker.address);
    let services = vec![Service::Tcp { port: PORT, server: broker.address }];
    gateway::run(services, Duration::from_secs(30), talk)
}

/// What runs on the board.
async fn talk(board: Board) -> Result<()> {
    let (mut received, mut sent) = ([0; 2048], [0; 2048]);
    let mut socket = TcpSocket::new(board.stack, &mut received, &mut sent);
    socket.connect((GATEWAY, PORT)).await.map_err(|error| anyhow!("no broker: {error:?}"))?;

    let (mut inbound, mut outbound) = ([0; 512], [0; 512]);
    let config = ConfigBuilder::new(Buffers::new(&mut inbound, &mut outbound));
    let config = config.client_id("minimq").map_err(|error| anyhow!("minimq: {error:?}"))?;
    let mut session = Session::new(config);
    let mut minimq = session.connect(socket).await.map_err(wrong)?;
    let subscribed = minimq.subscribe(&[TopicFilter::new(TOPIC)], &[]).await.map_err(wrong)?;
    while minimq.is_pending(&subscribed) {
        minimq.poll().await.map_err(wrong)?;
    }
    println!("minimq   is subscribed to {TOPIC}");

    let published = publish(board).await?;
    for text in &published {
        let message = minimq.recv().await.map_err(wrong)?;
        let payload = String::from_utf8_lossy(message.payload());
        println!("minimq   received {payload} on {}", message.topic());
        ensure!(message.topic() == TOPIC && payload == *text, "{text} was published");
    }
    minimq.disconnect().await.map_err(wrong)?;
    println!("{}", board.summary());
    Ok(())
}

/// The other client, with a connection of its own. What it published, acknowledged.
async fn publish(board: Board) -> Result<Vec<String>> {
    let (mut received, mut sent) = ([0; 2048], [0; 2048]);
    let mut socket = TcpSocket::new(board.stack, &mut received, &mut sent);
    socket.connect((GATEWAY, PORT)).await.map_err(|error| anyhow!("no broker: {error:?}"))?;

    let mut memory = [0; 2048];
    let mut memory = BumpBuffer::new(&mut memory);
    let mut client = Client::<'_, '_, _, _, 1, 1, 1, 1, 0, 0, 0>::new(&mut memory);
    let name = MqttString::from_str("rust-mqtt").map_err(|error| anyhow!("{error:?}"))?;
    let options = ConnectOptions::new().clean_start();
    client.connect(socket, &options, Some(name)).await.map_err(wrong)?;

    let topic = MqttString::from_str(TOPIC).map_err(|error| anyhow!("{error:?}"))?;
    let topic = TopicName::new(topic).context("a topic without wildcards")?;
    let mut published = Vec::new();
    for number in 1..=MESSAGES {
        let text = format!(r#"{{"number":{number},"uptime_ms":{}}}"#, Instant::now().as_millis());
        let to = TopicReference::Name(topic.as_borrowed());
        let options = PublicationOptions::new(to).at_least_once();
        client.publish(&options, Bytes::from(text.as_bytes())).await.map_err(wrong)?;
        match client.poll().await.map_err(wrong)? {
            Event::PublishAcknowledged(_) => {}
            other => return Err(anyhow!("the broker answers {other:?}")),
        }
        println!("rust-mqtt published {text}, and the broker has it");
        published.push(text);
    }
    client.disconnect(&DisconnectOptions::new()).await.map_err(wrong)?;
    Ok(published)
}

fn wrong(error: impl core::fmt::Debug) -> anyhow::Error {
    anyhow!("MQTT: {error:?}")
}
