//! What the gateway does when clients and servers are slow, rude or not there.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::thread;

use anyhow::{Result, anyhow, bail, ensure};
use embassy_futures::join::join_array;
use embassy_net::tcp::{State, TcpSocket};
use embassy_net::udp::{self, PacketMetadata};
use embassy_time::{Duration, Timer, with_timeout};
use embedded_io_async::Write as _;
use gateway::{Board, GATEWAY, Service, run};

const PORT: u16 = 7;
const PATIENCE: Duration = Duration::from_secs(20);

fn wrong(error: &dyn core::fmt::Debug) -> anyhow::Error {
    anyhow!("{error:?}")
}

/// A server that answers each connection with how many bytes it sent, once it has said all.
fn counting_server() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut everything = Vec::new();
                stream.read_to_end(&mut everything).unwrap();
                stream.write_all(everything.len().to_string().as_bytes()).unwrap();
            });
        }
    });
    address
}

/// An address where nobody listens.
fn nobody() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

/// Sends `len` bytes, says that this is all, and returns what comes back.
async fn send(board: Board, len: usize) -> Result<String> {
    let (mut received, mut sent) = (vec![0; 4096], vec![0; 4096]);
    let mut socket = TcpSocket::new(board.stack, &mut received, &mut sent);
    socket.connect((GATEWAY, PORT)).await.map_err(|error| wrong(&error))?;
    socket.write_all(&vec![1; len]).await.map_err(|error| wrong(&error))?;
    socket.close();
    let (mut answer, mut buffer) = (String::new(), [0; 64]);
    while let Ok(len @ 1..) = socket.read(&mut buffer).await {
        answer += &String::from_utf8_lossy(&buffer[..len]);
    }
    Ok(answer)
}

#[test]
fn a_client_that_has_said_everything_still_hears_the_answer() {
    let services = vec![Service::Tcp { port: PORT, server: counting_server() }];
    let answers = run(services, PATIENCE, async |board| {
        // As many at once as the gateway carries.
        let all = [1, 10, 100, 1000, 10_000, 100_000].map(|len| send(board, len));
        join_array(all).await.into_iter().collect::<Result<Vec<_>>>()
    });
    assert_eq!(answers.unwrap(), ["1", "10", "100", "1000", "10000", "100000"]);
}

#[test]
fn a_server_that_is_not_there_ends_the_connection_and_not_the_gateway() {
    let services = vec![
        Service::Tcp { port: PORT + 1, server: nobody() },
        Service::Tcp { port: PORT, server: counting_server() },
    ];
    let outcome = run(services, PATIENCE, async |board| {
        for _ in 0..8 {
            let (mut received, mut sent) = (vec![0; 512], vec![0; 512]);
            let mut socket = TcpSocket::new(board.stack, &mut received, &mut sent);
            socket.connect((GATEWAY, PORT + 1)).await.map_err(|error| wrong(&error))?;
            let read = with_timeout(Duration::from_secs(5), socket.read(&mut [0; 9])).await;
            ensure!(!matches!(read, Ok(Ok(1..))), "nobody said something");
            ensure!(read.is_ok(), "the connection stays open: {:?}", socket.state());
            ensure!(socket.state() != State::Established, "{:?}", socket.state());
        }
        send(board, 3).await
    });
    assert_eq!(outcome.unwrap(), "3");
}

#[test]
fn a_question_without_an_answer_holds_back_the_next_one_for_a_while_only() {
    let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let services = vec![Service::Udp { port: PORT, server: server.local_addr().unwrap() }];
    thread::spawn(move || {
        let mut question = [0; 64];
        while let Ok((len, from)) = server.recv_from(&mut question) {
            if &question[..len] != b"ignore me" {
                server.send_to(&question[..len], from).unwrap();
            }
        }
    });
    let outcome = run(services, PATIENCE, async |board| {
        let (mut received, mut sent) = ([0; 512], [0; 512]);
        let (mut from, mut to) = ([PacketMetadata::EMPTY; 4], [PacketMetadata::EMPTY; 4]);
        let mut socket =
            udp::UdpSocket::new(board.stack, &mut from, &mut received, &mut to, &mut sent);
        socket.bind(9).map_err(|error| wrong(&error))?;
        for question in ["ignore me", "answer me"] {
            let sent = socket.send_to(question.as_bytes(), (GATEWAY, PORT)).await;
            sent.map_err(|error| wrong(&error))?;
        }
        let mut answer = [0; 64];
        let (len, _) = socket.recv_from(&mut answer).await.map_err(|error| wrong(&error))?;
        Ok(String::from_utf8_lossy(&answer[..len]).into_owned())
    });
    assert_eq!(outcome.unwrap(), "answer me");
}

#[test]
fn a_program_that_does_not_end_is_an_error_that_tells_of_the_tunnel() {
    let outcome = run(vec![], Duration::from_millis(100), async |board: Board| {
        board.tunnel.for_each_peer(|peer, _| board.tunnel.connect(peer));
        Timer::after_secs(3600).await;
        Ok(())
    });
    let error = outcome.unwrap_err().to_string();
    assert!(error.starts_with("not done in 0 s; tunnel: Up, "), "{error}");
}

#[test]
fn an_error_of_a_program_tells_of_the_tunnel_too() {
    let outcome = run(vec![], PATIENCE, async |_| bail!("no coffee") as Result<()>);
    let error = format!("{:#}", outcome.unwrap_err());
    assert_eq!(error, "tunnel: Idle, 0 bytes sent, 0 received, handshakes included: no coffee");
}
