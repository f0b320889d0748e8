//! Addresses, routes and rules of the interface, by netlink: what wg-quick does.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::route::RouteHeader;
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute, RuleFlags, RuleMessage};
use rtnetlink::{Handle, RouteMessageBuilder};
use wg_core::AllowedIp;
use wg_core::config::{Config, InterfaceAddress};

use crate::error::Error;
use crate::tun::Tun;

/// The table and the mark for a default route, unless the configuration has its own: as
/// wg-quick's.
const DEFAULT_TABLE: u32 = 51820;
const MAIN_TABLE: u32 = RouteHeader::RT_TABLE_MAIN as u32;

/// What the host is to know about the tunnel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NetworkPlan {
    addresses: Vec<InterfaceAddress>,
    routes: BTreeSet<AllowedIp>,
    table: u32,
    /// With a default route: the mark that keeps our own datagrams out of the tunnel.
    default_route_mark: Option<u32>,
}

impl NetworkPlan {
    /// Reads the `Address`, `Table` and `FwMark` of a wg-quick file, and all allowed IPs.
    ///
    /// # Errors
    /// [`Error::Table`].
    pub fn of(file: &Config<'_>) -> Result<Self, Error> {
        let table = file.host_settings().find(|(key, _)| *key == "Table").map(|(_, value)| value);
        let mut routes: BTreeSet<_> = file.peers().flat_map(|peer| peer.allowed_ips()).collect();
        let has_default = routes.iter().any(|route| route.cidr() == 0);
        let mark = if file.fw_mark() == 0 { DEFAULT_TABLE } else { file.fw_mark() };
        let (table, default_route_mark) = match table {
            None => (MAIN_TABLE, has_default.then_some(mark)),
            Some(auto) if auto.eq_ignore_ascii_case("auto") => {
                (MAIN_TABLE, has_default.then_some(mark))
            }
            Some(off) if off.eq_ignore_ascii_case("off") => {
                routes.clear();
                (MAIN_TABLE, None)
            }
            Some(value) => {
                let number = value
                    .strip_prefix("0x")
                    .map_or_else(|| value.parse().ok(), |hex| u32::from_str_radix(hex, 16).ok());
                (
                    number.filter(|table| *table != 0).ok_or_else(|| Error::Table(value.into()))?,
                    None,
                )
            }
        };
        Ok(Self { addresses: file.addresses().collect(), routes, table, default_route_mark })
    }

    /// The mark that the tunnel's datagrams need for this plan, if it needs one.
    pub fn fw_mark(&self) -> Option<u32> {
        self.default_route_mark
    }
}

/// What was set up, and will be undone: rules, for the rest goes with the interface.
#[derive(Debug)]
pub struct Routes {
    netlink: Handle,
    rules: Vec<RuleMessage>,
}

impl Routes {
    /// Gives the interface its addresses, brings it up, and routes to it.
    ///
    /// # Errors
    /// [`Error::Network`] or [`Error::Tun`]; what was set up before is undone.
    pub async fn set_up(tun: &Tun, plan: &NetworkPlan) -> Result<Self, Error> {
        let (connection, netlink, _) = rtnetlink::new_connection()
            .map_err(|source| Error::Network { what: "up netlink".into(), source })?;
        tokio::spawn(connection);
        let mut routes = Self { netlink, rules: Vec::new() };
        match routes.apply(tun, plan).await {
            Ok(()) => Ok(routes),
            Err(error) => {
                routes.undo().await;
                Err(error)
            }
        }
    }

    async fn apply(&mut self, tun: &Tun, plan: &NetworkPlan) -> Result<(), Error> {
        for address in &plan.addresses {
            let what = || format!("the address {address} on {}", tun.name());
            let request = self.netlink.address().add(tun.index(), address.addr(), address.cidr());
            known(request.execute().await, what)?;
        }
        tun.up()?;
        for route in &plan.routes {
            let table = match plan.default_route_mark {
                Some(mark) if route.cidr() == 0 => mark,
                _ => plan.table,
            };
            self.add_route(tun, *route, table).await?;
        }
        if let Some(mark) = plan.default_route_mark {
            for route in plan.routes.iter().filter(|route| route.cidr() == 0) {
                self.divert(route.addr(), mark).await?;
            }
        }
        Ok(())
    }

    async fn add_route(&self, tun: &Tun, to: AllowedIp, table: u32) -> Result<(), Error> {
        let what = || format!("the route to {to} by {}", tun.name());
        let message = RouteMessageBuilder::<IpAddr>::new()
            .output_interface(tun.index())
            .table_id(table)
            .destination_prefix(to.addr(), to.cidr())
            .map_err(|error| Error::Network { what: what(), source: io::Error::other(error) })?;
        known(self.netlink.route().add(message.build()).execute().await, what)
    }

    /// Sends everything into the tunnel but its own datagrams, which carry the mark, and what
    /// has a more special route.
    async fn divert(&mut self, family: IpAddr, mark: u32) -> Result<(), Error> {
        let family = if family.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let mut unmarked = RuleMessage::default();
        unmarked.header.family = family;
        unmarked.header.action = RuleAction::ToTable;
        unmarked.header.flags = RuleFlags::Invert;
        unmarked.attributes.push(RuleAttribute::FwMark(mark));
        unmarked.attributes.push(RuleAttribute::Table(mark));
        let mut special = RuleMessage::default();
        special.header.family = family;
        special.header.action = RuleAction::ToTable;
        special.header.table = RouteHeader::RT_TABLE_MAIN;
        special.attributes.push(RuleAttribute::SuppressPrefixLen(0));
        for rule in [unmarked, special] {
            let mut request = self.netlink.rule().add();
            *request.message_mut() = rule.clone();
            known(request.execute().await, || "the rule for a default route".into())?;
            self.rules.push(rule);
        }
        if family == AddressFamily::Inet {
            // So that answers to marked datagrams pass a strict reverse path filter.
            let switch = "/proc/sys/net/ipv4/conf/all/src_valid_mark";
            if let Err(error) = std::fs::write(switch, "1") {
                log::warn!("{switch}: {error}: answers may be dropped as spoofed");
            }
        }
        Ok(())
    }

    /// Removes the rules. Addresses and routes go with the interface.
    pub async fn undo(mut self) {
        while let Some(rule) = self.rules.pop() {
            if let Err(error) = self.netlink.rule().del(rule).execute().await {
                log::warn!("cannot remove a rule for the default route: {error}");
            }
        }
    }
}

/// What exists already is as good as set.
fn known(result: Result<(), rtnetlink::Error>, what: impl FnOnce() -> String) -> Result<(), Error> {
    let source = match result {
        Ok(()) => return Ok(()),
        Err(rtnetlink::Error::NetlinkError(error)) => error.to_io(),
        Err(error) => io::Error::other(error),
    };
    if source.kind() == io::ErrorKind::AlreadyExists {
        return Ok(());
    }
    Err(Error::Network { what: what(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(table: &str, fw_mark: &str, allowed_ips: &str) -> Result<NetworkPlan, Error> {
        let text = format!(
            "[Interface]\nPrivateKey = yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=\n\
             Address = 10.0.0.2/24\n{table}\n{fw_mark}\n\
             [Peer]\nPublicKey = xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=\n\
             AllowedIPs = {allowed_ips}\n"
        );
        NetworkPlan::of(&Config::parse(&text).unwrap())
    }

    #[test]
    fn only_a_default_route_needs_a_mark() {
        let no_default = plan("", "", "10.0.0.0/24, fd00::/64").unwrap();
        assert_eq!((no_default.table, no_default.fw_mark()), (254, None));
        assert_eq!(no_default.routes.len(), 2);
        assert_eq!(plan("", "", "0.0.0.0/0").unwrap().fw_mark(), Some(51820));
        assert_eq!(plan("Table = auto", "FwMark = 0x10", "::/0").unwrap().fw_mark(), Some(16));
        assert_eq!(plan("", "FwMark = 7", "10.0.0.0/8").unwrap().fw_mark(), None);
    }

    #[test]
    fn a_table_of_ones_own_needs_no_rules_and_off_no_routes() {
        let own = plan("Table = 1234", "", "0.0.0.0/0").unwrap();
        assert_eq!((own.table, own.fw_mark(), own.routes.len()), (1234, None, 1));
        let off = plan("Table = off", "", "0.0.0.0/0").unwrap();
        assert_eq!((off.fw_mark(), off.routes.len()), (None, 0));
        for nonsense in ["Table = main", "Table = 0", "Table = -1"] {
            assert!(matches!(plan(nonsense, "", "::/0"), Err(Error::Table(_))), "{nonsense}");
        }
    }
}
