//! The application over a stack of embassy-net.

use core::ops::ControlFlow;

use embassy_net::Stack;
use embassy_net::dns::DnsSocket;
use embassy_net::tcp::client::{TcpClient, TcpClientState};
use embassy_time::Duration;

use crate::{Outcome, PATIENCE, post_uptime};

/// [`post_uptime`] over a stack, once its link is up. It takes one socket for TCP, and one for
/// DNS.
pub async fn post_uptime_over<R>(
    network: Stack<'_>,
    url: &str,
    pause: Duration,
    told: impl FnMut(Outcome) -> ControlFlow<R>,
) -> R {
    let state = TcpClientState::<1, 1024, 1024>::new();
    let mut tcp = TcpClient::new(network, &state);
    // A server that does not take its leave holds the socket no longer than that.
    tcp.set_timeout(Some(PATIENCE));
    let dns = DnsSocket::new(network);
    network.wait_link_up().await;
    post_uptime(&tcp, &dns, url, pause, told).await
}
