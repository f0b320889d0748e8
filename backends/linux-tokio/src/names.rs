//! Endpoints that are names: looked up at the start, and again while a peer does not answer.

use core::time::Duration;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;

use tokio::task::JoinSet;
use wg_core::config::{Config, HostPort};
use wg_core::{Connection, PublicKey, Refusal};

use crate::error::Error;
use crate::handle::{Handle, PeerConfig, Stopped};
use crate::journal::Short;

/// How often it is looked whether a peer answers. Longer than between two attempts of a handshake,
/// so that each address is tried; short enough to follow a name that moved within 20 s.
const INTERVAL: Duration = Duration::from_secs(6);
/// How often while there are names without an address.
const SHORT_INTERVAL: Duration = Duration::from_secs(3);
/// How long a tunnel does not start for want of an address that cannot be found later.
const PATIENCE: Duration = Duration::from_secs(20);

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
    /// Whether the log has that there is no address.
    is_told: bool,
}

impl Names {
    /// The peers of `file` whose endpoint has to be looked up.
    pub fn of(file: &Config<'_>) -> Self {
        let unresolved = |endpoint: &HostPort<'_>| endpoint.socket_addr().is_none();
        // Of a peer that is there twice, the later endpoint counts.
        let last: BTreeMap<_, _> =
            file.peers().filter_map(|peer| Some((peer.public_key(), peer.endpoint()?))).collect();
        let entries = last.into_iter().filter(|(_, endpoint)| unresolved(endpoint));
        let entries = entries.map(|(peer, endpoint)| {
            // The resolver takes an address with the name of a scope without brackets.
            let endpoint = format!("{}:{}", endpoint.host(), endpoint.port());
            Name { peer, endpoint, turn: 0, is_told: false }
        });
        Self { entries: entries.collect() }
    }

    /// Looks all of them up, at the same time, and sets the endpoints. A name without an
    /// address holds nothing up: [`follow`](Self::follow) looks it up again.
    ///
    /// But peers that `must` have an address are waited for up to 20 seconds: those with a
    /// default route, whose name could not be looked up later but through themselves.
    ///
    /// # Errors
    /// [`Error::Resolve`] for one of these.
    pub async fn resolve(
        &mut self,
        peers: &mut [PeerConfig],
        must: impl Fn(&PeerConfig) -> bool,
    ) -> Result<(), Error> {
        let start = tokio::time::Instant::now();
        loop {
            let mut missing = None;
            let found = self.look_up(|name| {
                let mut same = peers.iter().filter(|peer| peer.public_key == name.peer);
                same.any(|peer| peer.endpoint.is_none())
            });
            for (at, found) in found.await {
                let Some(name) = self.entries.get_mut(at) else { continue };
                let key = name.peer;
                let mut same = peers.iter_mut().filter(|peer| peer.public_key == key);
                match found {
                    Ok(found) => same.for_each(|peer| peer.endpoint = found.first().copied()),
                    Err(source) => {
                        name.tell(&source);
                        if same.any(|peer| must(peer)) {
                            let endpoint = name.endpoint.clone();
                            missing = Some(Error::Resolve { endpoint, source });
                        }
                    }
                }
            }
            match missing {
                None => return Ok(()),
                Some(error) if start.elapsed() > PATIENCE => return Err(error),
                Some(_) => tokio::time::sleep(SHORT_INTERVAL / 3).await,
            }
        }
    }

    /// Looks a name up again while it has no address, and whenever its peer leaves our
    /// initiations unanswered, and tries the name's addresses in turn. Ends with the tunnel.
    pub async fn follow(mut self, tunnel: Handle) {
        if self.entries.is_empty() {
            return;
        }
        let mut interval = SHORT_INTERVAL;
        loop {
            tokio::time::sleep(interval).await;
            interval = match self.look_again(&tunnel).await {
                Ok(true) => INTERVAL,
                Ok(false) => SHORT_INTERVAL,
                Err(Stopped) => return,
            };
        }
    }

    /// Whether all names have an address.
    async fn look_again(&mut self, tunnel: &Handle) -> Result<bool, Stopped> {
        let status = tunnel.status().await?;
        let of = |name: &Name| status.peers.iter().find(|peer| peer.public_key == name.peer);
        let mut all = true;
        let found = self.look_up(|name| {
            of(name).is_some_and(|peer| {
                let is_unanswered = peer.connection == Connection::Blocked(Refusal::Unanswered);
                peer.endpoint.is_none() || is_unanswered
            })
        });
        for (at, found) in found.await {
            let Some(name) = self.entries.get_mut(at) else { continue };
            let known = of(name).and_then(|peer| peer.endpoint);
            let found = match found {
                Ok(found) => found,
                Err(error) => {
                    all &= known.is_some();
                    name.tell(&error);
                    continue;
                }
            };
            name.is_told = false;
            // The first one again if it was never tried.
            name.turn = if known.is_some() { name.turn.wrapping_add(1) } else { 0 };
            let turn = name.turn.checked_rem(found.len()).unwrap_or(0);
            let Some(&at) = found.get(turn) else { continue };
            if known != Some(at) {
                log::info!("trying {} at {at}, by its name", Short(&name.peer));
                tunnel.set_endpoint(name.peer, at).await?;
            }
        }
        Ok(all)
    }

    /// Looks the names up that are `wanted`, at the same time; those that have no address are
    /// an error.
    async fn look_up(
        &self,
        wanted: impl Fn(&Name) -> bool,
    ) -> Vec<(usize, io::Result<Vec<SocketAddr>>)> {
        let mut lookups = JoinSet::new();
        for (at, name) in self.entries.iter().enumerate().filter(|(_, name)| wanted(name)) {
            let endpoint = name.endpoint.clone();
            lookups.spawn(async move { (at, addresses(&endpoint).await) });
        }
        lookups.join_all().await
    }
}

impl Name {
    /// Writes to the log that there is no address, once until there is one.
    fn tell(&mut self, error: &io::Error) {
        if !core::mem::replace(&mut self.is_told, true) {
            let endpoint = &self.endpoint;
            log::warn!("cannot find the address of {endpoint} yet, trying again: {error}");
        }
    }
}

async fn addresses(endpoint: &str) -> io::Result<Vec<SocketAddr>> {
    let found: Vec<_> = tokio::net::lookup_host(endpoint).await?.collect();
    if found.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(found) }
}
