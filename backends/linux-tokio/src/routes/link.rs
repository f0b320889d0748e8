//! What becomes of the interface while the tunnel runs: set down and up, given another MTU.

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use rtnetlink::packet_core::NetlinkPayload;
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags};
use rtnetlink::{Handle, MulticastGroup};

use crate::error::Error;

/// The state of one interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Link {
    pub(super) is_up: bool,
    pub(super) mtu: u16,
}

/// News of all interfaces.
pub(super) struct Links(BoxStream<'static, RouteNetlinkMessage>);

/// A way to ask the kernel, and its news of interfaces from now on.
pub(super) fn open() -> Result<(Handle, Links), Error> {
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
    /// Waits for news of the interface with this number; `None` when no more will come. Cancel
    /// safe.
    pub(super) async fn next(&mut self, index: u32) -> Option<Link> {
        loop {
            let RouteNetlinkMessage::NewLink(link) = self.0.next().await? else { continue };
            if link.header.index != index {
                continue;
            }
            let mtu = link.attributes.iter().find_map(|attribute| match attribute {
                LinkAttribute::Mtu(mtu) => u16::try_from(*mtu).ok(),
                _ => None,
            });
            let Some(mtu) = mtu else { continue };
            return Some(Link { is_up: link.header.flags.contains(LinkFlags::Up), mtu });
        }
    }
}

impl core::fmt::Debug for Links {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Links").finish_non_exhaustive()
    }
}
