//! Endpoints that are names: looked up at the start, and again while a peer does not answer.

use core::time::Duration;
use std::net::SocketAddr;

use wg_core::config::{Config, HostPort};
use wg_core::{Connection, PublicKey, Refusal};

use crate::error::Error;
use crate::handle::{Handle, PeerConfig, Stopped};
use crate::journal::Short;

/// How often it is looked whether a peer answers. Longer than between two attempts of a handshake,
/// so that each address is tried; short enough to follow a name that moved within 20 s.
const INTERVAL: Duration = Duration::from_secs(6);

/// The peers of a configuration whose endpoint is a name.
#[derive(Debug)]
pub struct Names {
    entries: Vec<Name>,
}

#[derive(Debug)]
struct Name {
    peer: PublicKey,
    /// Host and port, as the resolver takes them.
    endpoint: String,
    /// Which of the name's addresses was taken last.
    turn: usize,
}

impl Names {
    /// The peers of `file` whose endpoint has to be looked up.
    pub fn of(file: &Config<'_>) -> Self {
        let unresolved = |endpoint: &HostPort<'_>| endpoint.socket_addr().is_none();
        let entries = file.peers().filter_map(|peer| {
            let endpoint = peer.endpoint().filter(unresolved)?;
            // The resolver takes an address with the name of a scope without brackets.
            let endpoint = format!("{}:{}", endpoint.host(), endpoint.port());
            Some(Name { peer: peer.public_key(), endpoint, turn: 0 })
        });
        Self { entries: entries.collect() }
    }

    /// Looks all of them up and sets the endpoints.
    ///
    /// # Errors
    /// [`Error::Resolve`] for the first that has no address.
    pub async fn resolve(&self, peers: &mut [PeerConfig]) -> Result<(), Error> {
        for name in &self.entries {
            let found = name.addresses().await.and_then(|found| {
                found.first().copied().ok_or_else(|| std::io::ErrorKind::NotFound.into())
            });
            let found = found
                .map_err(|source| Error::Resolve { endpoint: name.endpoint.clone(), source })?;
            for peer in peers.iter_mut().filter(|peer| peer.public_key == name.peer) {
                peer.endpoint = Some(found);
            }
        }
        Ok(())
    }

    /// Looks a name up again whenever its peer leaves our initiations unanswered, and tries
    /// the name's addresses in turn. Ends with the tunnel.
    pub async fn follow(mut self, tunnel: Handle) {
        if self.entries.is_empty() {
            return;
        }
        loop {
            tokio::time::sleep(INTERVAL).await;
            if self.look_again(&tunnel).await == Err(Stopped) {
                return;
            }
        }
    }

    async fn look_again(&mut self, tunnel: &Handle) -> Result<(), Stopped> {
        let status = tunnel.status().await?;
        let unanswered = status
            .peers
            .iter()
            .filter(|peer| peer.connection == Connection::Blocked(Refusal::Unanswered));
        for peer in unanswered {
            let Some(name) = self.entries.iter_mut().find(|name| name.peer == peer.public_key)
            else {
                continue;
            };
            let found = match name.addresses().await {
                Ok(found) => found,
                Err(error) => {
                    log::warn!("cannot find the address of {}: {error}", name.endpoint);
                    continue;
                }
            };
            name.turn = name.turn.wrapping_add(1);
            let turn = name.turn.checked_rem(found.len()).unwrap_or(0);
            let Some(&at) = found.get(turn) else { continue };
            if peer.endpoint != Some(at) {
                log::info!("trying {} at {at}, by its name", Short(&name.peer));
                tunnel.set_endpoint(name.peer, at).await?;
            }
        }
        Ok(())
    }
}

impl Name {
    async fn addresses(&self) -> std::io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host(self.endpoint.as_str()).await?.collect())
    }
}
