//! Posts by HTTP how long the board has been up. It knows nothing of a tunnel.

use alloc::format;

use embassy_net::Stack;
use embassy_net::dns::DnsSocket;
use embassy_net::tcp::client::{TcpClient, TcpClientState};
use embassy_time::{Duration, Instant, Timer, with_timeout};
use esp_println::println;
use reqwless::client::HttpClient;
use reqwless::headers::ContentType;
use reqwless::request::{Method, RequestBuilder};

/// Where to: set `POST_URL` at build time. This is SORACOM's unified endpoint.
const URL: &str = match option_env!("POST_URL") {
    Some(url) => url,
    None => "http://uni.soracom.io",
};

/// Posts every half minute, whatever happens.
pub async fn post_uptime(network: Stack<'static>) {
    let state = TcpClientState::<1, 1024, 1024>::new();
    let tcp = TcpClient::new(network, &state);
    let dns = DnsSocket::new(network);
    let mut client = HttpClient::new(&tcp, &dns);
    loop {
        network.wait_link_up().await;
        match with_timeout(Duration::from_secs(15), post(&mut client)).await {
            Ok(Ok(status)) => println!("posted: {status}"),
            Ok(Err(error)) => println!("not posted: {error:?}"),
            Err(_) => println!("not posted: no answer for 15 s"),
        }
        Timer::after_secs(30).await;
    }
}

type Client<'c> = HttpClient<'c, TcpClient<'c, 1, 1024, 1024>, DnsSocket<'c>>;

async fn post(client: &mut Client<'_>) -> Result<u16, reqwless::Error> {
    let body = format!("{{\"uptime_ms\":{}}}", Instant::now().as_millis());
    let mut buffer = [0; 1024];
    let request = client.request(Method::POST, URL).await?;
    let request = request.content_type(ContentType::ApplicationJson);
    let mut request = request.body(body.as_bytes());
    Ok(request.send(&mut buffer).await?.status.0)
}
