//! MQTT over TLS 1.3 that verifies the broker's certificate: what the tunnel replaces.

use alloc::format;
use core::convert::Infallible;

use embassy_net::Stack;
use embassy_time::Timer;
use embedded_tls::pki::CertVerifier;
use embedded_tls::{
    Aes128GcmSha256, Certificate, CryptoProvider, CryptoRngCore, NoClock, TlsConfig, TlsConnection,
    TlsContext, TlsError, TlsVerifier,
};
use esp_hal::rng::Trng;
use esp_println::println;
use static_cell::ConstStaticCell;

use crate::board::Error;
use crate::mqtt;

/// A record of TLS as long as a server may send it, and one of ours.
static RECORDS: ConstStaticCell<([u8; 16_640], [u8; 4_096])> =
    ConstStaticCell::new(([0; 16_640], [0; 4_096]));

struct Provider<'a> {
    rng: Trng,
    verifier: CertVerifier<'a, Aes128GcmSha256, NoClock, 4096>,
}

impl CryptoProvider for Provider<'_> {
    type CipherSuite = Aes128GcmSha256;
    type Signature = &'static [u8];

    fn rng(&mut self) -> impl CryptoRngCore {
        &mut self.rng
    }

    fn verifier(&mut self) -> Result<&mut impl TlsVerifier<Aes128GcmSha256>, TlsError> {
        Ok(&mut self.verifier)
    }
}

/// Publishes through TLS connections, one after another. `authority` is the certificate, in
/// DER, that the broker's is signed by.
pub async fn publish_uptime(network: Stack<'static>, authority: &[u8]) -> Infallible {
    let (mut rx, mut tx) = ([0; 2048], [0; 2048]);
    let (reading, writing) = RECORDS.take();
    loop {
        network.wait_link_up().await;
        let ended = attempt(network, authority, (&mut rx, &mut tx), (reading, writing)).await;
        let Err(ended) = ended;
        println!("not published: {ended}");
        Timer::after_secs(10).await;
    }
}

async fn attempt(
    network: Stack<'static>,
    authority: &[u8],
    (rx, tx): (&mut [u8], &mut [u8]),
    (reading, writing): (&mut [u8], &mut [u8]),
) -> Result<Infallible, Error> {
    let socket = mqtt::connect(network, rx, tx, 8883).await?;
    let rng = Trng::try_new().map_err(|error| format!("{error:?}"))?;
    let config = TlsConfig::new().with_server_name(mqtt::BROKER);
    let verifier = CertVerifier::new(Certificate::X509(authority));
    let mut connection = TlsConnection::new(socket, reading, writing);
    let context = TlsContext::new(&config, Provider { rng, verifier });
    connection.open(context).await.map_err(|error| format!("TLS: {error:?}"))?;
    Err(mqtt::publish(connection).await)
}
