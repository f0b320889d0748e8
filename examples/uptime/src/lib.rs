#![no_std]
#![forbid(unsafe_code)]
//! The application: posts how long the board has been up. It knows nothing of a tunnel.
//!
//! This file is the same on every board. What differs is the network that it is given, which is
//! the inside of a tunnel:
//!
//! | board | its files | sockets |
//! | --- | --- | --- |
//! | this computer | `examples/uptime-post` | embassy-net |
//! | emulated RISC-V and Xtensa | `examples/boards` | embassy-net |
//! | ESP32, S2, S3, C3, C6, bare metal | `examples/uptime-post-esp` | embassy-net |
//! | the same on ESP-IDF | `examples/uptime-post-idf` | std's, of lwIP |
//! | yours | `examples/template` | embassy-net |

#[cfg(feature = "embassy")]
mod embassy;
#[cfg(feature = "std")]
mod sockets;

use core::fmt::{self, Write as _};
use core::ops::ControlFlow;

use embassy_time::{Duration, Instant, Timer, with_timeout};
use embedded_io_async::ErrorKind;
use embedded_nal_async::{Dns, TcpConnect};
use reqwless::client::HttpClient;
use reqwless::headers::ContentType;
use reqwless::request::{Method, RequestBuilder};

#[cfg(feature = "embassy")]
pub use embassy::post_uptime_over;
#[cfg(feature = "std")]
pub use sockets::{Connection, Sockets};

/// Where to: the environment variable `POST_URL` at build time. Without it, SORACOM's unified
/// endpoint, which passes on what it gets to where its console says.
pub const URL: &str = match option_env!("POST_URL") {
    Some(url) => url,
    None => "http://uni.soracom.io",
};

/// How long a post may take, from the name's lookup to the answer.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The longest pause after a post that failed.
const SOON: Duration = Duration::from_secs(5);

/// What became of a post.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The server has it, and answered with this status.
    Posted(u16),
    /// The server answered with a status that is no success.
    Refused(u16),
    /// No answer for [`PATIENCE`].
    NoAnswer,
    /// The name has no address.
    UnknownHost,
    /// No connection, or it ended too early.
    NoConnection(ErrorKind),
    /// It is no URL, or what answers is no HTTP server.
    NoHttp,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Posted(status) => write!(f, "posted: {status}"),
            Self::Refused(status) => write!(f, "not posted: the server answers {status}"),
            Self::NoAnswer => write!(f, "not posted: no answer for {} s", PATIENCE.as_secs()),
            Self::UnknownHost => f.write_str("not posted: the server's name has no address"),
            Self::NoConnection(kind) => write!(f, "not posted: no connection ({kind:?})"),
            Self::NoHttp => f.write_str("not posted: no HTTP there, or POST_URL is no URL"),
        }
    }
}

/// Posts `{"uptime_ms":...}` to `url` again and again, `pause` after each post, or 5 s after one
/// that failed where that is sooner. `told` hears of each, and may end it.
///
/// Nothing ends it else: neither a server that is away nor a network that is down.
pub async fn post_uptime<R>(
    tcp: &impl TcpConnect,
    dns: &impl Dns,
    url: &str,
    pause: Duration,
    mut told: impl FnMut(Outcome) -> ControlFlow<R>,
) -> R {
    let mut client = HttpClient::new(tcp, dns);
    loop {
        let outcome = match with_timeout(PATIENCE, post(&mut client, url)).await {
            Ok(Ok(status @ 200..=299)) => Outcome::Posted(status),
            Ok(Ok(status)) => Outcome::Refused(status),
            Ok(Err(error)) => why(error),
            Err(_) => Outcome::NoAnswer,
        };
        if let ControlFlow::Break(end) = told(outcome) {
            return end;
        }
        let is_posted = matches!(outcome, Outcome::Posted(_));
        Timer::after(if is_posted { pause } else { pause.min(SOON) }).await;
    }
}

async fn post(
    client: &mut HttpClient<'_, impl TcpConnect, impl Dns>,
    url: &str,
) -> Result<u16, reqwless::Error> {
    let mut body = heapless::String::<40>::new();
    // As much as fits, and twenty digits do.
    let _ = writeln!(body, r#"{{"uptime_ms":{}}}"#, Instant::now().as_millis());
    let request = client.request(Method::POST, url).await?;
    let request = request.content_type(ContentType::ApplicationJson);
    let mut request = request.body(body.as_bytes());
    let mut headers = [0; 1024];
    Ok(request.send(&mut headers).await?.status.0)
}

fn why(error: reqwless::Error) -> Outcome {
    use reqwless::Error;

    match error {
        Error::Dns => Outcome::UnknownHost,
        Error::Network(ErrorKind::TimedOut) => Outcome::NoAnswer,
        Error::Network(kind) => Outcome::NoConnection(kind),
        Error::ConnectionAborted => Outcome::NoConnection(ErrorKind::ConnectionAborted),
        _ => Outcome::NoHttp,
    }
}
