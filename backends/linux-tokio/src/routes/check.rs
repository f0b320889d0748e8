//! Whether packets for the tunnel would take another way, in the clear.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use futures_util::TryStreamExt;
use rtnetlink::Handle;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::route::{RouteAttribute, RouteFlags, RouteMessage, RouteType};
use wg_core::AllowedIp;

use super::netlink;
use crate::error::Error;

/// Looks for a route to `to` in `table` among all routes: true if the interface `ours` has it
/// already, as the network of its own address.
///
/// # Errors
/// [`Error::RouteExists`] if another one has it, which goes before ours or beside it.
pub(super) fn is_there(
    existing: &[RouteMessage],
    to: AllowedIp,
    table: u32,
    ours: u32,
) -> Result<bool, Error> {
    // Of several routes to one destination, that of the lowest metric is taken.
    let usual_metric = if to.addr().is_ipv4() { 0 } else { 1024 };
    let same = existing
        .iter()
        .filter(|route| netlink::table(route) == table && netlink::destination(route) == Some(to));
    let mut is_there = false;
    for route in same {
        let by = netlink::interface(route);
        if by == Some(ours) {
            is_there = true;
        } else if netlink::metric(route) <= usual_metric && !is_link_local(to) {
            return Err(Error::RouteExists { to, by: by.and_then(name) });
        }
    }
    Ok(is_there)
}

/// Asks the kernel which way a packet to `to` would go, with all rules and tables: another
/// VPN's rule may go before the table that ours is in.
///
/// # Errors
/// [`Error::OtherWay`] if it is not by the interface `ours`, and not by a route that is more
/// special.
pub(super) async fn way(netlink: &Handle, to: AllowedIp, ours: u32) -> Result<(), Error> {
    if is_link_local(to) {
        return Ok(());
    }
    let probe = probe(to);
    let mut question = RouteMessage::default();
    question.header.address_family =
        if probe.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    question.header.destination_prefix_length = if probe.is_ipv4() { 32 } else { 128 };
    question.header.flags = RouteFlags::FibMatch;
    question.attributes.push(RouteAttribute::Destination(probe.into()));
    let answer: Result<Vec<_>, _> = netlink.route().get(question).execute().try_collect().await;
    let route = match answer {
        Ok(routes) => routes.into_iter().next(),
        // Refused there, so not in the clear.
        Err(error) => {
            log::debug!("no way to {probe}: {error}");
            None
        }
    };
    let Some(route) = route.filter(|route| route.header.kind == RouteType::Unicast) else {
        return Ok(());
    };
    match netlink::interface(&route).filter(|by| *by != ours) {
        Some(by) if route.header.destination_prefix_length <= to.cidr() => {
            Err(Error::OtherWay { to, by: name(by) })
        }
        _ => Ok(()),
    }
}

/// What stays outside of the tunnel, because its routes are more special than the allowed IPs.
pub(super) fn outside(
    existing: &[RouteMessage],
    to: AllowedIp,
    table: u32,
    ours: u32,
) -> Vec<String> {
    let special = existing.iter().filter_map(|route| {
        let special = netlink::destination(route)?;
        let by = netlink::interface(route).filter(|by| *by != ours)?;
        let is_inside = special.cidr() > to.cidr()
            && AllowedIp::new(special.addr(), to.cidr()) == Some(to)
            && special.addr().is_ipv4() == to.addr().is_ipv4();
        let counts = netlink::table(route) == table
            && route.header.kind == RouteType::Unicast
            && !is_link_local(special);
        (is_inside && counts).then(|| format!("{special} by {}", name(by).unwrap_or_default()))
    });
    special.collect()
}

/// An address in `to` that packets may have as their destination.
fn probe(to: AllowedIp) -> IpAddr {
    match to.addr() {
        // Addresses that begin with 0 are nobody's.
        IpAddr::V4(address) if address.octets()[0] == 0 && to.cidr() < 8 => {
            Ipv4Addr::new(1, 0, 0, 1).into()
        }
        IpAddr::V6(address) if address.is_unspecified() && to.cidr() <= 2 => {
            Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 1).into()
        }
        address => address,
    }
}

/// Every interface has such a route, and packets there name their interface.
fn is_link_local(to: AllowedIp) -> bool {
    matches!(to.addr(), IpAddr::V6(address) if address.is_unicast_link_local())
}

fn name(index: u32) -> Option<String> {
    nix::net::if_::if_indextoname(index).ok()?.into_string().ok()
}
