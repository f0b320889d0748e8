//! Addresses, routes and rules of the interface, by netlink: what wg-quick does.

mod check;
mod diversion;
mod netlink;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;

use rtnetlink::packet_route::route::RouteHeader;
use rtnetlink::{Handle, RouteMessageBuilder};
use wg_core::AllowedIp;
use wg_core::config::{Config, InterfaceAddress};

use self::diversion::{Diversion, FIRST_TABLE};
use self::netlink::io_error;
use crate::error::Error;
use crate::link::{self, Link, Links};
use crate::tun::Tun;

const MAIN_TABLE: u32 = RouteHeader::RT_TABLE_MAIN as u32;

/// What the host is to know about the tunnel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NetworkPlan {
    addresses: Vec<InterfaceAddress>,
    routes: BTreeSet<AllowedIp>,
    table: u32,
    /// With a default route: the mark that keeps our own datagrams out of the tunnel. All
    /// tunnels share it unless the configuration has its own, so that none carries another's.
    default_route_mark: Option<u32>,
    /// The table for the default route, when the configuration has a mark: the same number, as
    /// wg-quick has it. Else one that is free.
    default_route_table: Option<u32>,
}

impl NetworkPlan {
    /// Reads the `Address`, `Table` and `FwMark` of a wg-quick file, and all allowed IPs.
    ///
    /// # Errors
    /// [`Error::Table`].
    pub fn of(file: &Config<'_>) -> Result<Self, Error> {
        let table = file.host_settings().find(|(key, _)| *key == "Table").map(|(_, value)| value);
        // Of a peer that is there twice, the later counts.
        let last: BTreeMap<_, _> = file.peers().map(|peer| (peer.public_key(), peer)).collect();
        let mut routes: BTreeSet<_> = last.values().flat_map(|peer| peer.allowed_ips()).collect();
        let has_default = routes.iter().any(|route| route.cidr() == 0);
        let mark = if file.fw_mark() == 0 { FIRST_TABLE } else { file.fw_mark() };
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
        Ok(Self {
            addresses: file.addresses().collect(),
            routes,
            table,
            default_route_mark,
            default_route_table: Some(file.fw_mark()).filter(|mark| *mark != 0),
        })
    }

    /// The mark that the tunnel's datagrams need for this plan, if it needs one.
    pub fn fw_mark(&self) -> Option<u32> {
        self.default_route_mark
    }

    fn has_v6(&self) -> bool {
        self.addresses.iter().any(|address| address.addr().is_ipv6())
            || self.routes.iter().any(|route| route.addr().is_ipv6())
    }

    fn drop_v6(&mut self) {
        self.addresses.retain(|address| address.addr().is_ipv4());
        self.routes.retain(|route| route.addr().is_ipv4());
    }
}

/// What was set up, and will be undone: rules, for the rest goes with the interface.
#[derive(Debug)]
pub struct Routes {
    netlink: Handle,
    links: Links,
    name: String,
    index: u32,
    plan: NetworkPlan,
    diversion: Option<Diversion>,
}

impl Routes {
    /// Gives the interface its addresses, brings it up, and routes to it. Clears before what
    /// runs that were killed have left.
    ///
    /// # Errors
    /// [`Error::RouteExists`], [`Error::OtherWay`], [`Error::TableInUse`], [`Error::NoIpv6`],
    /// [`Error::Network`], [`Error::Listing`] or [`Error::Tun`]; what was set up before is
    /// undone.
    pub async fn set_up(tun: &Tun, plan: &NetworkPlan) -> Result<Self, Error> {
        let (netlink, links) = link::open()?;
        diversion::clear_remains(&netlink).await?;
        let (name, index) = (tun.name().to_owned(), tun.index());
        let mut routes = Self { netlink, links, name, index, plan: plan.clone(), diversion: None };
        match routes.apply(tun).await {
            Ok(()) => Ok(routes),
            Err(error) => {
                routes.undo().await;
                Err(error)
            }
        }
    }

    async fn apply(&mut self, tun: &Tun) -> Result<(), Error> {
        if self.plan.has_v6() && !tun.enable_ipv6()? {
            log::warn!("this kernel has no IPv6: IPv6 addresses and allowed IPs are left out");
            self.plan.drop_v6();
        }
        self.add_addresses().await?;
        tun.up()?;
        if let Some(mark) = self.plan.default_route_mark {
            let table = self.plan.default_route_table;
            self.diversion = Some(Diversion::claim(&self.netlink, table, mark).await?);
        }
        self.add_routes().await?;
        if let Some(diversion) = &mut self.diversion {
            for route in self.plan.routes.iter().filter(|route| route.cidr() == 0) {
                let v6 = route.addr().is_ipv6();
                diversion.refuse_rest(&self.netlink, v6).await?;
                diversion.divert(&self.netlink, v6).await?;
                if !v6 {
                    accept_marked_answers();
                }
            }
        }
        if self.plan.table == MAIN_TABLE {
            for route in &self.plan.routes {
                check::way(&self.netlink, *route, self.index).await?;
            }
            self.tell_what_stays_outside().await?;
        }
        Ok(())
    }

    async fn add_addresses(&self) -> Result<(), Error> {
        for address in &self.plan.addresses {
            let request = self.netlink.address().add(self.index, address.addr(), address.cidr());
            match request.execute().await.map_err(io_error) {
                // Written twice, or still there.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => {
                    let what = format!("the address {address} on {}", self.name);
                    return Err(Error::Network { what, source });
                }
                Ok(()) => {}
            }
        }
        Ok(())
    }

    async fn add_routes(&self) -> Result<(), Error> {
        for v6 in [false, true] {
            let existing = netlink::routes(&self.netlink, v6).await?;
            for route in self.plan.routes.iter().filter(|route| route.addr().is_ipv6() == v6) {
                let table = match &self.diversion {
                    Some(diversion) if route.cidr() == 0 => diversion.table(),
                    _ => self.plan.table,
                };
                if !check::is_there(&existing, *route, table, self.index)? {
                    self.add_route(*route, table).await?;
                }
            }
        }
        Ok(())
    }

    async fn add_route(&self, to: AllowedIp, table: u32) -> Result<(), Error> {
        let what = || format!("the route to {to} by {}", self.name);
        let message = RouteMessageBuilder::<IpAddr>::new()
            .output_interface(self.index)
            .table_id(table)
            .destination_prefix(to.addr(), to.cidr())
            .map_err(|error| Error::Network { what: what(), source: io::Error::other(error) })?;
        match self.netlink.route().add(message.build()).execute().await.map_err(io_error) {
            Ok(()) => Ok(()),
            // It came this very moment.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(Error::RouteExists { to, by: None })
            }
            Err(source) => Err(Error::Network { what: what(), source }),
        }
    }

    async fn tell_what_stays_outside(&self) -> Result<(), Error> {
        let mut outside = BTreeSet::new();
        for v6 in [false, true] {
            let existing = netlink::routes(&self.netlink, v6).await?;
            for route in self.plan.routes.iter().filter(|route| route.addr().is_ipv6() == v6) {
                outside.extend(check::outside(&existing, *route, MAIN_TABLE, self.index));
            }
        }
        if !outside.is_empty() {
            const SHOWN: usize = 8;
            let more = match outside.len().saturating_sub(SHOWN) {
                0 => String::new(),
                more => format!(" and {more} others"),
            };
            let shown: Vec<_> = outside.into_iter().take(SHOWN).collect();
            let shown = shown.join(", ");
            log::info!("more special routes stay outside of the tunnel: {shown}{more}");
        }
        Ok(())
    }

    /// Follows what others do with the interface while the tunnel runs: set up again after it
    /// was down, it gets back its addresses and routes, which the kernel has dropped; the
    /// tunnel is told of another MTU. Never ends. May be dropped at any time.
    pub async fn follow(&mut self, tunnel: &crate::Handle) {
        let mut was = None;
        while let Some(link) = self.links.next(self.index).await {
            let before: Link = was.replace(link).unwrap_or(Link { is_up: true, mtu: link.mtu });
            if link.mtu != before.mtu {
                log::info!("the MTU of {} is {} now", self.name, link.mtu);
            }
            // Also the first time: it may have been changed before we looked.
            if tunnel.set_mtu(link.mtu).await.is_err() {
                break;
            }
            link::set_up(&self.name, tunnel, link.is_up).await;
            if !link.is_up && before.is_up {
                log::warn!(
                    "{} was set down: no packets until it is up again; those for its default \
                     route are refused, others may go elsewhere",
                    self.name
                );
            }
            // IPv6 ends with an MTU below its least, and begins again.
            if link.is_up && link != before {
                match self.restore().await {
                    Ok(()) => log::info!("{} has its addresses and routes again", self.name),
                    Err(error) => log::error!("{error}"),
                }
            }
        }
        core::future::pending::<()>().await;
    }

    async fn restore(&self) -> Result<(), Error> {
        self.add_addresses().await?;
        self.add_routes().await
    }

    /// Removes the rules and what they led to. Addresses and routes go with the interface.
    pub async fn undo(self) {
        if let Some(diversion) = self.diversion {
            diversion.undo(&self.netlink).await;
        }
    }
}

/// So that answers to marked datagrams pass a strict reverse path filter.
fn accept_marked_answers() {
    let switch = "/proc/sys/net/ipv4/conf/all/src_valid_mark";
    if std::fs::read(switch).is_ok_and(|value| value.trim_ascii() == b"1") {
        return;
    }
    if let Err(error) = std::fs::write(switch, "1") {
        log::warn!(
            "{switch}: {error}: with a strict rp_filter answers are dropped; set it to 1 before"
        );
    }
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
        // A table of the same number with a mark of one's own, else whichever is free.
        assert_eq!(plan("", "FwMark = 7", "::/0").unwrap().default_route_table, Some(7));
        assert_eq!(plan("", "", "::/0").unwrap().default_route_table, None);
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
