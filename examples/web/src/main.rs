//! An axum server and a hyper client inside a tunnel: no interface, no root, nothing but this
//! program. Each end would be a program of its own; here both are one, over the loopback
//! interface.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use axum::{Router, extract::Path, routing::get};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use wg_core::{PrivateKey, config::Config};
use wg_tokio::netstack::{Net, NetConfig, TcpListener, TcpStream};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let (client, server) = pair().await?;
    tokio::spawn(serve(server));
    println!("{}", fetch(&client, "10.9.0.2:80", "/hello/tunnel").await?);
    client.stop().await;
    Ok(())
}

/// An axum application on port 80 of a host in a tunnel.
async fn serve(net: Net) -> Result<()> {
    let application = Router::new()
        .route("/hello/{who}", get(async |Path(who): Path<String>| format!("Hello, {who}!")));
    let listener = net.tcp_listen("[::]:80".parse()?)?;
    Ok(axum::serve(Inside(listener), application).await?)
}

/// A listener of the tunnel as axum takes it.
struct Inside(TcpListener);

impl axum::serve::Listener for Inside {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        match self.0.accept().await {
            Ok(accepted) => accepted,
            // The tunnel has ended: nobody comes any more.
            Err(_) => core::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        Ok(self.0.local_addr())
    }
}

/// A GET of hyper, from a host in a tunnel.
async fn fetch(net: &Net, host: &str, path: &str) -> Result<String> {
    let (name, port) = host.rsplit_once(':').context("no port")?;
    let stream = net.tcp_connect_to(name, port.parse()?).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = hyper::Request::get(path).header("host", host).body(Empty::<Bytes>::new())?;
    let answer = sender.send_request(request).await?;
    ensure!(answer.status().is_success(), "{host} answers {}", answer.status());
    let body = answer.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8(body.into())?)
}

/// Two hosts, 10.9.0.1 and 10.9.0.2, each as a wg-quick file says. The first knows where the
/// second is.
async fn pair() -> Result<(Net, Net)> {
    let mut random = wg_tokio::system_random()?;
    let (ours, theirs) = (PrivateKey::generate(&mut random), PrivateKey::generate(&mut random));
    let server = format!(
        "[Interface]\nPrivateKey = {}\nAddress = 10.9.0.2/24\n\
         [Peer]\nPublicKey = {}\nAllowedIPs = 10.9.0.1/32\n",
        theirs.expose_base64().as_str(),
        ours.public_key(),
    );
    let server = Net::connect(NetConfig::of(&Config::parse(&server)?)).await?;
    let client = format!(
        "[Interface]\nPrivateKey = {}\nAddress = 10.9.0.1/24\n\
         [Peer]\nPublicKey = {}\nAllowedIPs = 10.9.0.0/24\nEndpoint = 127.0.0.1:{}\n",
        ours.expose_base64().as_str(),
        theirs.public_key(),
        server.status().await?.listen_port,
    );
    let client = Net::connect(NetConfig::of(&Config::parse(&client)?)).await?;
    Ok((client, server))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn hyper_is_answered_by_axum() {
        let (client, server) = pair().await.unwrap();
        let serving = tokio::spawn(serve(server));
        let fetched = fetch(&client, "10.9.0.2:80", "/hello/tunnel").await.unwrap();
        assert_eq!(fetched, "Hello, tunnel!");
        let missing = fetch(&client, "10.9.0.2:80", "/nothing").await.unwrap_err();
        assert_eq!(missing.to_string(), "10.9.0.2:80 answers 404 Not Found");
        serving.abort();
        client.stop().await;
    }
}
