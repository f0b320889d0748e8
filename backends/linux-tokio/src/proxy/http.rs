//! HTTP CONNECT.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::address::Remote;
use super::relay::{REQUEST_TIMEOUT, Relay, relay};
use super::told::Told;

/// A request's line and headers, together.
const LONGEST_HEAD: usize = 16 * 1024;
const HEADERS: usize = 64;

/// What stands before the body, or why it is none.
enum Head {
    /// Where to, and what has come after it.
    Connect(Remote, Vec<u8>),
    /// What is told instead.
    Refused(&'static str, String),
}

impl Relay {
    /// Answers one request.
    pub(super) async fn http(&self, mut client: TcpStream) -> io::Result<()> {
        let Ok(head) = tokio::time::timeout(REQUEST_TIMEOUT, read_head(&mut client)).await else {
            return refuse(&mut client, "408 Request Timeout", "no request came").await;
        };
        let (to, early) = match head? {
            Head::Connect(to, early) => (to, early),
            Head::Refused(status, why) => return refuse(&mut client, status, &why).await,
        };
        let mut stream = match self.net.tcp_connect_to(&to.host, to.port).await {
            Ok(stream) => stream,
            Err(error) => {
                self.complain(&to, &error);
                return refuse(&mut client, Told::of(&error).http, &error.to_string()).await;
            }
        };
        client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
        stream.write_all(&early).await?;
        relay(client, stream).await
    }
}

async fn read_head(client: &mut TcpStream) -> io::Result<Head> {
    let mut bytes = Vec::with_capacity(1024);
    loop {
        if client.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut headers = [httparse::EMPTY_HEADER; HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        let bad = |why: String| Ok(Head::Refused("400 Bad Request", why));
        match request.parse(&bytes) {
            Ok(httparse::Status::Partial) if bytes.len() < LONGEST_HEAD => {}
            Ok(httparse::Status::Partial) => {
                let why = format!("the request has more than {LONGEST_HEAD} bytes of headers");
                return Ok(Head::Refused("431 Request Header Fields Too Large", why));
            }
            Err(error) => return bad(format!("this is no HTTP request: {error}")),
            Ok(httparse::Status::Complete(length)) => {
                let (method, path) = (request.method.unwrap_or(""), request.path.unwrap_or(""));
                if method != "CONNECT" {
                    let why = format!(
                        "{method} is not for this proxy: use CONNECT (curl --proxytunnel), or SOCKS5"
                    );
                    return Ok(Head::Refused("405 Method Not Allowed\r\nAllow: CONNECT", why));
                }
                return match path.parse() {
                    Ok(to) => Ok(Head::Connect(to, bytes.split_off(length))),
                    Err(why) => bad(why),
                };
            }
        }
    }
}

async fn refuse(client: &mut TcpStream, status: &str, why: &str) -> io::Result<()> {
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{why}\n",
        why.len() + 1
    );
    client.write_all(answer.as_bytes()).await?;
    client.shutdown().await
}
