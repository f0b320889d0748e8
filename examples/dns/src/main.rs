//! A board looks names up through a tunnel: what it asks for, no network on the way learns.
//!
//! The client is embassy-net's, by the trait that every client of embedded-nal-async uses. The
//! server is behind the gateway, and knows one name.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::thread;

use anyhow::{Result, anyhow, bail, ensure};
use embassy_net::dns::DnsSocket;
use embassy_time::{Duration, Instant};
use embedded_nal_async::{AddrType, Dns};
use gateway::{Board, Service};
use simple_dns::rdata::{A, RData};
use simple_dns::{CLASS, Packet, PacketFlag, RCODE, ResourceRecord};

const NAME: &str = "collector.example";
const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);

fn main() -> Result<()> {
    let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = server.local_addr()?;
    thread::spawn(move || serve(&server));
    let services = vec![Service::Udp { port: 53, server: address }];
    gateway::run(services, Duration::from_secs(30), look_up)
}

/// What runs on the board.
async fn look_up(board: Board) -> Result<()> {
    let dns = DnsSocket::new(board.stack);
    let asked = Instant::now();
    let found = dns.get_host_by_name(NAME, AddrType::IPv4).await;
    let found = found.map_err(|error| anyhow!("{NAME} is not found: {error:?}"))?;
    println!("{NAME} is {found}, after {} ms", asked.elapsed().as_millis());
    ensure!(found == IpAddr::V4(ADDRESS), "the server says {ADDRESS}");

    match dns.get_host_by_name("nobody.example", AddrType::IPv4).await {
        Ok(found) => bail!("nobody.example is {found}"),
        Err(error) => println!("nobody.example is not found: {error:?}"),
    }
    println!("{}", board.summary());
    Ok(())
}

fn serve(socket: &UdpSocket) {
    let mut question = [0; 512];
    while let Ok((len, from)) = socket.recv_from(&mut question) {
        match answer(&question[..len]) {
            Ok(answer) => drop(socket.send_to(&answer, from)),
            Err(error) => eprintln!("server: no question: {error}"),
        }
    }
}

fn answer(question: &[u8]) -> Result<Vec<u8>> {
    let question = Packet::parse(question)?;
    let mut answer = Packet::new_reply(question.id());
    answer.set_flags(PacketFlag::RECURSION_AVAILABLE | PacketFlag::RECURSION_DESIRED);
    *answer.rcode_mut() = RCODE::NameError;
    for asked in &question.questions {
        println!("server   is asked for {}", asked.qname);
        if asked.qname.to_string() == NAME {
            let address = RData::A(A { address: ADDRESS.to_bits() });
            *answer.rcode_mut() = RCODE::NoError;
            let record = ResourceRecord::new(asked.qname.clone(), CLASS::IN, 60, address);
            answer.answers.push(record);
        }
    }
    answer.questions = question.questions;
    Ok(answer.build_bytes_vec_compressed()?)
}
