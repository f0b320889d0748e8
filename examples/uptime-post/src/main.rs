//! A board posts its uptime as JSON through a tunnel: a sensor's first program.
//!
//! The client is reqwless as it is, over the stack in the tunnel. The server is an ordinary
//! one behind the gateway, and checks what it gets.

use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use embassy_net::dns::DnsSocket;
use embassy_net::tcp::client::{TcpClient, TcpClientState};
use embassy_time::{Duration, Instant, Timer};
use gateway::{Board, GATEWAY, Service};
use reqwless::client::HttpClient;
use reqwless::headers::ContentType;
use reqwless::request::{Method, RequestBuilder};
use tiny_http::{Response, Server};

const POSTS: usize = 3;
const PORT: u16 = 80;

fn main() -> Result<()> {
    let server = Server::http("127.0.0.1:0").map_err(|error| anyhow!("no server: {error}"))?;
    let address = server.server_addr().to_ip().context("a server with an address")?;
    let heard = thread::spawn(move || listen(&server));
    let services = vec![Service::Tcp { port: PORT, server: address }];
    gateway::run(services, Duration::from_secs(30), post)?;

    let heard = heard.join().map_err(|_| anyhow!("the server panicked"))??;
    ensure!(heard.len() == POSTS, "{} of {POSTS} posts arrived", heard.len());
    ensure!(heard.is_sorted(), "uptime goes up only: {heard:?}");
    println!("the server heard of {heard:?} ms");
    Ok(())
}

/// What runs on the board. Nothing in here knows of WireGuard.
async fn post(board: Board) -> Result<()> {
    let state = TcpClientState::<1, 1024, 1024>::new();
    let tcp = TcpClient::new(board.stack, &state);
    let dns = DnsSocket::new(board.stack);
    let mut client = HttpClient::new(&tcp, &dns);
    let url = format!("http://{GATEWAY}:{PORT}/uptime");

    for number in 1..=POSTS {
        let body = format!(r#"{{"uptime_ms":{}}}"#, Instant::now().as_millis());
        let start = Instant::now();
        let request = client.request(Method::POST, &url).await.map_err(why)?;
        let mut request = request.content_type(ContentType::ApplicationJson).body(body.as_bytes());
        let mut buffer = [0; 1024];
        let response = request.send(&mut buffer).await.map_err(why)?;
        let status = response.status;
        let text = response.body().read_to_end().await.map_err(why)?;
        let text = String::from_utf8_lossy(text).into_owned();
        ensure!(status.is_successful(), "the server answers {}: {text}", status.0);
        println!("post {number}   {body} in {} ms: {text}", start.elapsed().as_millis());
        Timer::after_millis(100).await;
    }
    println!("{}", board.summary());
    Ok(())
}

fn why(error: reqwless::Error) -> anyhow::Error {
    anyhow!("cannot post: {error:?}")
}

/// Reads the posts, and answers each.
fn listen(server: &Server) -> Result<Vec<u64>> {
    let mut heard = Vec::new();
    while heard.len() < POSTS {
        let mut request = server.recv()?;
        let mut body = String::new();
        request.as_reader().read_to_string(&mut body)?;
        let uptime = body.strip_prefix(r#"{"uptime_ms":"#).and_then(|rest| rest.strip_suffix('}'));
        match uptime.and_then(|number| number.parse().ok()) {
            Some(uptime) => {
                heard.push(uptime);
                request.respond(Response::from_string(format!("thanks, {}", heard.len())))?;
            }
            None => {
                request.respond(Response::from_string("no uptime").with_status_code(400))?;
            }
        }
    }
    Ok(heard)
}
