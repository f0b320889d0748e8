//! What becomes of the interface while the tunnel runs: set down and up, given another MTU.

use futures_util::StreamExt;
use futures_util::stream::{BoxStream, TryStreamExt};
use rtnetlink::packet_core::NetlinkPayload;
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use rtnetlink::{Handle, MulticastGroup};

use crate::error::Error;
use crate::tun::Tun;

/// The state of one interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Link {
    pub(crate) is_up: bool,
    pub(crate) mtu: u16,
}

/// News of all interfaces.
pub(crate) struct Links(BoxStream<'static, RouteNetlinkMessage>);

/// A way to ask the kernel, and its news of interfaces from now on.
pub(crate) fn open() -> Result<(Handle, Links), Error> {
    let (connection, netlink, news) = rtnetlink::new_multicast_connection(&[MulticastGroup::Link])
        .map_err(|source| Error::Network { what: "up netlink".into(), source })?;
    tokio::spawn(connection);
    let messages = news.filter_map(async |(message, _)| match message.payload {
        NetlinkPayload::InnerMessage(message) => Some(message),
        _ => None,
    });
    Ok((netlink, Links(messages.boxed())))
}

impl Links {
    /// Waits for news of the interface with this number: its state, or `None` when it is not
    /// in this network namespace any more. Ends in the same way when no more will come. Cancel
    /// safe.
    pub(crate) async fn next(&mut self, index: u32) -> Option<Link> {
        loop {
            match self.0.next().await? {
                RouteNetlinkMessage::NewLink(link) if link.header.index == index => {
                    if let Some(link) = Link::of(&link) {
                        return Some(link);
                    }
                }
                RouteNetlinkMessage::DelLink(link) if link.header.index == index => return None,
                _ => {}
            }
        }
    }
}

impl Link {
    fn of(message: &LinkMessage) -> Option<Self> {
        let mtu = message.attributes.iter().find_map(|attribute| match attribute {
            LinkAttribute::Mtu(mtu) => u16::try_from(*mtu).ok(),
            _ => None,
        });
        Some(Self { is_up: message.header.flags.contains(LinkFlags::Up), mtu: mtu? })
    }
}

/// The state of an interface whose addresses and routes are others' business.
#[derive(Debug)]
pub struct InterfaceState {
    netlink: Handle,
    links: Links,
    name: String,
    index: u32,
}

impl InterfaceState {
    /// Begins to watch. Must be called in a Tokio runtime with I/O.
    ///
    /// # Errors
    /// [`Error::Network`].
    pub fn of(tun: &Tun) -> Result<Self, Error> {
        let (netlink, links) = open()?;
        Ok(Self { netlink, links, name: tun.name().to_owned(), index: tun.index() })
    }

    /// Tells the tunnel what others do with the interface: that it is up or down, and of another
    /// MTU. Never ends. May be dropped at any time.
    pub async fn follow(&mut self, tunnel: &crate::Handle) {
        let mut asked = self.netlink.link().get().match_index(self.index).execute();
        let mut next = match asked.try_next().await {
            Ok(Some(message)) => Link::of(&message),
            _ => None,
        };
        while let Some(link) = next {
            if tunnel.set_mtu(link.mtu).await.is_err() {
                break;
            }
            set_up(&self.name, tunnel, link.is_up).await;
            next = self.links.next(self.index).await;
        }
        // It is in another network namespace, where nobody tells us of it: up, one can think. If
        // it was removed, the tunnel ends of itself.
        set_up(&self.name, tunnel, true).await;
        core::future::pending::<()>().await;
    }
}

/// Tells a tunnel whether its interface is up. It stays down when its port is not to be had.
pub(crate) async fn set_up(name: &str, tunnel: &crate::Handle, is_up: bool) {
    if let Ok(Err(error)) = tunnel.set_up(is_up).await {
        log::error!("{name} cannot send or receive until it is set down and up again: {error}");
    }
}

impl core::fmt::Debug for Links {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Links").finish_non_exhaustive()
    }
}
