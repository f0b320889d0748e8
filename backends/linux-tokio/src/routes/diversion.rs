//! A default route: a table of its own, and rules that send everything there but the tunnel's
//! own datagrams, which carry a mark, and what has a more special route.
//!
//! A table belongs to one process at a time, in one network namespace: to the one that has
//! bound the table's name as an abstract Unix socket, which goes with the process in whatever
//! way that ends. So rules of ours whose table nobody holds are what a killed run left.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::route::{RouteHeader, RouteMessage, RouteProtocol, RouteType};
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute, RuleFlags, RuleMessage};
use rtnetlink::{Handle, RouteMessageBuilder};

use super::netlink::{self, io_error};
use crate::error::Error;

/// How our rules and routes are told from others': `proto 87` in `ip rule`.
pub(super) const OURS: RouteProtocol = RouteProtocol::Other(87);
/// The mark of a tunnel with a default route, and the first table that is tried: as wg-quick's.
pub(super) const FIRST_TABLE: u32 = 51820;
const LAST_TABLE: u32 = FIRST_TABLE + 999;

/// What a default route takes, until it is undone.
#[derive(Debug)]
pub(super) struct Diversion {
    table: u32,
    mark: u32,
    rules: Vec<RuleMessage>,
    barriers: Vec<RouteMessage>,
    _claim: UnixDatagram,
}

impl Diversion {
    /// Takes `table`, or one that is free.
    pub(super) async fn claim(
        netlink: &Handle,
        table: Option<u32>,
        mark: u32,
    ) -> Result<Self, Error> {
        let with = |table, _claim| Self { table, mark, rules: vec![], barriers: vec![], _claim };
        if let Some(table) = table {
            let claim = hold(table)?.ok_or(Error::TableInUse(table))?;
            return Ok(with(table, claim));
        }
        let mut used = Vec::new();
        for v6 in [false, true] {
            used.extend(netlink::routes(netlink, v6).await?.iter().map(netlink::table));
        }
        for table in (FIRST_TABLE..=LAST_TABLE).filter(|table| !used.contains(table)) {
            if let Some(claim) = hold(table)? {
                return Ok(with(table, claim));
            }
        }
        Err(Error::TableInUse(LAST_TABLE))
    }

    /// The table for default routes.
    pub(super) fn table(&self) -> u32 {
        self.table
    }

    /// Ends the table with a route that refuses: when the interface is down, or the program
    /// was killed, packets must not go on to the next table and out in the clear.
    pub(super) async fn refuse_rest(&mut self, netlink: &Handle, v6: bool) -> Result<(), Error> {
        let any: IpAddr =
            if v6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
        let what = || "the route that keeps packets in the tunnel".to_owned();
        let barrier = RouteMessageBuilder::<IpAddr>::new()
            .destination_prefix(any, 0)
            .map_err(|error| Error::Network { what: what(), source: io::Error::other(error) })?
            .table_id(self.table)
            .priority(u32::MAX)
            .kind(RouteType::Unreachable)
            .protocol(OURS)
            .build();
        let added = netlink.route().add(barrier.clone()).execute().await;
        added.map_err(|error| Error::Network { what: what(), source: io_error(error) })?;
        self.barriers.push(barrier);
        Ok(())
    }

    /// Sends everything to the table but what carries the mark, and what has a more special
    /// route. Before all rules but the first, as the kernel would put it.
    pub(super) async fn divert(&mut self, netlink: &Handle, v6: bool) -> Result<(), Error> {
        let what = || "the rules for a default route".to_owned();
        let places = netlink::rules(netlink, v6).await?;
        let next = places.iter().map(netlink::place).filter(|place| *place > 0).min();
        let place = next.unwrap_or(32_766).saturating_sub(1);
        if place < 2 {
            let full = io::Error::other("there is no place before the first rule of `ip rule`");
            return Err(Error::Network { what: what(), source: full });
        }
        for rule in [unmarked(v6, self.mark, self.table, place), special(v6, place - 1)] {
            let mut request = netlink.rule().add();
            *request.message_mut() = rule.clone();
            let added = request.execute().await;
            added.map_err(|error| Error::Network { what: what(), source: io_error(error) })?;
            self.rules.push(rule);
        }
        Ok(())
    }

    /// Removes the rules, and then what they led to.
    pub(super) async fn undo(self, netlink: &Handle) {
        for rule in self.rules.into_iter().rev() {
            if let Err(error) = netlink.rule().del(rule).execute().await {
                log::warn!("cannot remove a rule for the default route: {error}");
            }
        }
        for barrier in self.barriers {
            if let Err(error) = netlink.route().del(barrier).execute().await {
                log::warn!("cannot remove a route of table {}: {error}", self.table);
            }
        }
    }
}

/// Removes what runs that were killed have left in this network namespace.
pub(super) async fn clear_remains(netlink: &Handle) -> Result<(), Error> {
    let mut cleared = 0_u32;
    for v6 in [false, true] {
        let ours = |rule: &RuleMessage| rule.attributes.contains(&RuleAttribute::Protocol(OURS));
        let mut rules = netlink::rules(netlink, v6).await?;
        rules.retain(ours);
        let mut owners = Vec::new();
        for rule in &rules {
            let Some(table) = diverts_to(rule) else { continue };
            owners.push(netlink::place(rule));
            let Some(_claim) = hold(table)? else { continue };
            let pair = netlink::place(rule).saturating_sub(1);
            let special = rules
                .iter()
                .filter(|rule| diverts_to(rule).is_none() && netlink::place(rule) == pair);
            for rule in special.chain([rule]) {
                cleared += u32::from(netlink.rule().del(rule.clone()).execute().await.is_ok());
            }
        }
        for rule in &rules {
            // Somebody removed the other one of the pair by hand.
            if diverts_to(rule).is_none() && !owners.contains(&(netlink::place(rule) + 1)) {
                cleared += u32::from(netlink.rule().del(rule.clone()).execute().await.is_ok());
            }
        }
        for route in netlink::routes(netlink, v6).await? {
            if route.header.protocol == OURS
                && route.header.kind == RouteType::Unreachable
                && let Some(_claim) = hold(netlink::table(&route))?
            {
                cleared += u32::from(netlink.route().del(route).execute().await.is_ok());
            }
        }
    }
    if cleared > 0 {
        log::warn!("cleared {cleared} rules and routes of a tunnel that was killed");
    }
    Ok(())
}

/// The table's name, bound; `None` when another process has it.
fn hold(table: u32) -> Result<Option<UnixDatagram>, Error> {
    let name = format!("wg-tokio/table/{table}");
    let bound = SocketAddr::from_abstract_name(name).and_then(|at| UnixDatagram::bind_addr(&at));
    match bound {
        Ok(claim) => Ok(Some(claim)),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(None),
        Err(source) => Err(Error::Network { what: format!("routing table {table} aside"), source }),
    }
}

fn unmarked(v6: bool, mark: u32, table: u32, place: u32) -> RuleMessage {
    let mut rule = rule(v6, place);
    rule.header.flags = RuleFlags::Invert;
    rule.attributes.push(RuleAttribute::FwMark(mark));
    rule.attributes.push(RuleAttribute::Table(table));
    rule
}

fn special(v6: bool, place: u32) -> RuleMessage {
    let mut rule = rule(v6, place);
    rule.header.table = RouteHeader::RT_TABLE_MAIN;
    rule.attributes.push(RuleAttribute::SuppressPrefixLen(0));
    rule
}

fn rule(v6: bool, place: u32) -> RuleMessage {
    let mut rule = RuleMessage::default();
    rule.header.family = if v6 { AddressFamily::Inet6 } else { AddressFamily::Inet };
    rule.header.action = RuleAction::ToTable;
    rule.attributes.push(RuleAttribute::Priority(place));
    rule.attributes.push(RuleAttribute::Protocol(OURS));
    rule
}

/// The table of a rule that leaves marked packets out.
fn diverts_to(rule: &RuleMessage) -> Option<u32> {
    if !rule.header.flags.contains(RuleFlags::Invert) {
        return None;
    }
    let long = rule.attributes.iter().find_map(|attribute| match attribute {
        RuleAttribute::Table(table) => Some(*table),
        _ => None,
    });
    Some(long.unwrap_or_else(|| rule.header.table.into()))
}
