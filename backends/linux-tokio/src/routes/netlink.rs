//! What the kernel has of routes and rules, and what is read from it.

use std::io;
use std::net::IpAddr;

use futures_util::{TryStream, TryStreamExt};
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage};
use rtnetlink::packet_route::rule::{RuleAttribute, RuleMessage};
use rtnetlink::{Handle, IpVersion};
use wg_core::AllowedIp;

use crate::error::Error;

/// All routes of one family, in all tables.
pub(super) async fn routes(netlink: &Handle, v6: bool) -> Result<Vec<RouteMessage>, Error> {
    let mut every = RouteMessage::default();
    every.header.address_family = if v6 { AddressFamily::Inet6 } else { AddressFamily::Inet };
    all(netlink.route().get(every).execute(), "routes").await
}

/// All rules of one family, in their order.
pub(super) async fn rules(netlink: &Handle, v6: bool) -> Result<Vec<RuleMessage>, Error> {
    let version = if v6 { IpVersion::V6 } else { IpVersion::V4 };
    all(netlink.rule().get(version).execute(), "rules").await
}

async fn all<S, T>(stream: S, what: &str) -> Result<Vec<T>, Error>
where
    S: TryStream<Ok = T, Error = rtnetlink::Error>,
{
    match stream.try_collect().await.map_err(io_error) {
        Ok(all) => Ok(all),
        // A kernel without IPv6, or without rules.
        Err(error)
            if matches!(
                error.raw_os_error().map(nix::errno::Errno::from_raw),
                Some(nix::errno::Errno::EAFNOSUPPORT | nix::errno::Errno::EOPNOTSUPP)
            ) =>
        {
            Ok(Vec::new())
        }
        Err(source) => Err(Error::Listing { what: what.into(), source }),
    }
}

pub(super) fn io_error(error: rtnetlink::Error) -> io::Error {
    match error {
        rtnetlink::Error::NetlinkError(error) => error.to_io(),
        error => io::Error::other(error),
    }
}

/// Where a route leads to; `None` when it is of another kind.
pub(super) fn destination(route: &RouteMessage) -> Option<AllowedIp> {
    let any: IpAddr = match route.header.address_family {
        AddressFamily::Inet => [0; 4].into(),
        AddressFamily::Inet6 => [0; 16].into(),
        _ => return None,
    };
    let address = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(address)) => Some(IpAddr::from(*address)),
        RouteAttribute::Destination(RouteAddress::Inet6(address)) => Some(IpAddr::from(*address)),
        _ => None,
    });
    AllowedIp::new(address.unwrap_or(any), route.header.destination_prefix_length)
}

pub(super) fn table(route: &RouteMessage) -> u32 {
    let long = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Table(table) => Some(*table),
        _ => None,
    });
    long.unwrap_or_else(|| route.header.table.into())
}

/// The number of the interface that a route leads to, the first of several.
pub(super) fn interface(route: &RouteMessage) -> Option<u32> {
    route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(index) => Some(*index),
        RouteAttribute::MultiPath(hops) => hops.first().map(|hop| hop.interface_index),
        _ => None,
    })
}

/// How far behind others of the same destination a route stands.
pub(super) fn metric(route: &RouteMessage) -> u32 {
    let metric = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Priority(metric) => Some(*metric),
        _ => None,
    });
    metric.unwrap_or(0)
}

/// A rule's place.
pub(super) fn place(rule: &RuleMessage) -> u32 {
    let place = rule.attributes.iter().find_map(|attribute| match attribute {
        RuleAttribute::Priority(place) => Some(*place),
        _ => None,
    });
    place.unwrap_or(0)
}
