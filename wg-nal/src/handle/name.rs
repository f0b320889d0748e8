//! A peer whose endpoint is a name.

use wg_core::{Connection, PeerId, Refusal};

use super::Handle;
use crate::monotonic::Monotonic;
use crate::resolve::EndpointName;

impl<T: Monotonic> Handle<'_, T> {
    /// Tells a name how handshakes with its peer go: whether its address is to be asked for
    /// again.
    pub fn tell_name(&self, peer: PeerId, name: &mut EndpointName<'_>) {
        let Some(status) = self.status(peer) else { return };
        match status.connection {
            Connection::Up => name.reached(),
            Connection::Blocked(Refusal::Unanswered) => {
                name.unanswered(self.time.now(), status.endpoint);
            }
            _ => {}
        }
    }

    /// Keeps a peer's endpoint where a name says it is: asks at once, and again while handshakes
    /// go unanswered, for IPv6 and IPv4 by turns.
    ///
    /// Run it beside the runner, never in its way: a query takes as long as the stack's DNS
    /// takes, up to [`LONGEST_QUERY`](crate::LONGEST_QUERY). It ends when the peer is removed. For
    /// an address in place of a name it sets the endpoint and ends at once. Dropping it is safe.
    #[cfg(feature = "embedded-nal-async")]
    pub async fn keep_resolved<D: embedded_nal_async::Dns>(
        &self,
        peer: PeerId,
        name: &mut EndpointName<'_>,
        dns: &D,
    ) {
        if let Some(endpoint) = name.literal() {
            self.set_endpoint(peer, endpoint);
            return;
        }
        while self.status(peer).is_some() {
            let found = crate::resolve::resolve(name, dns, &self.time).await;
            // A session that came meanwhile knows better where the peer is.
            let status = self.status(peer);
            let is_up = status.is_some_and(|status| status.connection == Connection::Up);
            if let Some(endpoint) = found.filter(|_| !is_up) {
                debug!("{} is {}", name.host(), endpoint);
                self.set_endpoint(peer, endpoint);
            }
            self.tell_name(peer, name);
            self.news(|waiting| &mut waiting.handshake, name.deadline()).await;
        }
    }

    /// Asks an embedded-nal stack for what is due, and does not wait for the answer: call it as
    /// often as [`Tunnel::poll`](crate::Tunnel::poll). For an address in place of a name there is
    /// nothing to ask, and nothing is set: [`begin`](Self::begin) and
    /// [`begin_config`](Self::begin_config) did that.
    #[cfg(feature = "embedded-nal")]
    pub fn poll_resolved<D: embedded_nal::Dns>(
        &self,
        peer: PeerId,
        name: &mut EndpointName<'_>,
        dns: &mut D,
    ) {
        if name.literal().is_some() {
            return;
        }
        self.tell_name(peer, name);
        if let Some(endpoint) = crate::resolve::poll_resolve(name, dns, self.time.now()) {
            self.set_endpoint(peer, endpoint);
        }
    }
}
