//! A board posts its uptime as JSON through a tunnel: a sensor's first program.
//!
//! The application is that of all boards, [`uptime`]: reqwless as it is, over the stack in the
//! tunnel. The server is an ordinary one behind the gateway, and checks what it gets.

use std::ops::ControlFlow;
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use embassy_time::Duration;
use gateway::{GATEWAY, Service};
use tiny_http::{Response, Server};

const POSTS: usize = 3;
const PORT: u16 = 80;

fn main() -> Result<()> {
    let server = Server::http("127.0.0.1:0").map_err(|error| anyhow!("no server: {error}"))?;
    let address = server.server_addr().to_ip().context("a server with an address")?;
    let heard = thread::spawn(move || listen(&server));
    let services = vec![Service::Tcp { port: PORT, server: address }];
    gateway::run(services, Duration::from_secs(30), async |board| {
        let url = format!("http://{GATEWAY}:{PORT}/uptime");
        let mut left = POSTS;
        uptime::post_uptime_over(board.stack, &url, Duration::from_millis(100), |outcome| {
            println!("{outcome}");
            left -= usize::from(matches!(outcome, uptime::Outcome::Posted(_)));
            if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .await;
        println!("{}", board.summary());
        Ok(())
    })?;

    let heard = heard.join().map_err(|_| anyhow!("the server panicked"))??;
    ensure!(heard.len() == POSTS, "{} of {POSTS} posts arrived", heard.len());
    ensure!(heard.is_sorted(), "uptime goes up only: {heard:?}");
    println!("the server heard of {heard:?} ms");
    Ok(())
}

/// Reads the posts, and answers each.
fn listen(server: &Server) -> Result<Vec<u64>> {
    let mut heard = Vec::new();
    while heard.len() < POSTS {
        let mut request = server.recv()?;
        let mut body = String::new();
        request.as_reader().read_to_string(&mut body)?;
        let uptime =
            body.strip_prefix(r#"{"uptime_ms":"#).and_then(|rest| rest.strip_suffix("}\n"));
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
