//! The trie against a list that is searched from end to end.

extern crate std;

use core::net::IpAddr;

use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

use super::*;

/// The naive router: routes in order of insertion.
#[derive(Default)]
struct List(Vec<(AllowedIp, u32)>);

impl List {
    fn insert(&mut self, net: AllowedIp, peer: u32) -> Option<u32> {
        let before = self.owner(net);
        if before == Some(peer) {
            return None;
        }
        self.0.retain(|route| route.0 != net);
        self.0.push((net, peer));
        before
    }

    fn remove(&mut self, net: AllowedIp, peer: u32) -> bool {
        let before = self.0.len();
        self.0.retain(|route| *route != (net, peer));
        self.0.len() < before
    }

    fn owner(&self, net: AllowedIp) -> Option<u32> {
        self.0.iter().find(|route| route.0 == net).map(|route| route.1)
    }

    fn lookup(&self, addr: IpAddr) -> Option<u32> {
        let longest = self
            .0
            .iter()
            .filter(|(net, _)| AllowedIp::new(addr, net.cidr()) == Some(*net))
            .max_by_key(|(net, _)| net.cidr());
        longest.map(|route| route.1)
    }

    fn of(&self, peer: u32) -> Vec<AllowedIp> {
        self.0.iter().filter(|route| route.1 == peer).map(|route| route.0).collect()
    }
}

impl AllowedIps<'_> {
    fn lookup(&self, addr: IpAddr) -> Option<u32> {
        self.owner_of(&Prefix::of(addr))
    }

    /// Nodes in use.
    fn used(&self) -> u32 {
        let vacant = core::iter::successors(self.vacant, |at| {
            self.nodes.get(at.number()).unwrap().children[0]
        });
        self.fresh - vacant.count() as u32
    }

    /// Each fork parts two children, and each child continues its parent.
    fn check(&self) {
        let mut seen = 0;
        let mut todo: Vec<(Row, Option<Prefix>)> = Vec::new();
        todo.extend(self.root_v4.map(|at| (at, None)));
        todo.extend(self.root_v6.map(|at| (at, None)));
        while let Some((at, outer)) = todo.pop() {
            let node = self.nodes.get(at.number()).unwrap();
            if let Some(outer) = outer {
                assert!(outer != node.prefix && outer.contains(&node.prefix));
            }
            let children = node.children.iter().flatten();
            assert!(node.peer.is_some() || children.clone().count() == 2);
            assert_eq!(node.peer.is_some(), node.next.is_some());
            todo.extend(children.map(|child| (*child, Some(node.prefix))));
            seen += 1;
        }
        assert_eq!(seen, self.used(), "no node is lost");
    }
}

fn net(text: &str) -> AllowedIp {
    text.parse().unwrap()
}

fn addr(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Runs a test with room for `ROUTES` routes of four peers.
fn with_room<const ROUTES: usize>(test: impl FnOnce(&mut AllowedIps<'_>)) {
    let mut nodes = [[Node::EMPTY; 2]; ROUTES];
    let mut routes = [Routes::NONE; 4];
    test(&mut AllowedIps::new(
        Table::Borrowed(nodes.as_flattened_mut()),
        Table::Borrowed(&mut routes),
    ));
}

#[test]
fn the_longest_prefix_wins() {
    with_room::<8>(|table| {
        for (text, peer) in [
            ("0.0.0.0/0", 0),
            ("10.0.0.0/8", 1),
            ("10.1.0.0/16", 2),
            ("10.1.1.1/32", 3),
            ("::/0", 3),
            ("fd00::/8", 2),
            ("fd00::1/128", 1),
        ] {
            assert_eq!(table.insert(net(text), peer), Ok(None));
        }
        for (text, peer) in [
            ("9.255.255.255", 0),
            ("10.0.0.0", 1),
            ("10.2.0.0", 1),
            ("10.1.255.255", 2),
            ("10.1.1.1", 3),
            ("10.1.1.0", 2),
            ("255.255.255.255", 0),
            ("fc00::", 3),
            ("fd00::1", 1),
            ("fd00::2", 2),
            ("fdff:ffff::", 2),
            ("::ffff:10.1.1.1", 3),
        ] {
            assert_eq!(table.lookup(addr(text)), Some(peer), "{text}");
        }
        table.check();
    });
}

#[test]
fn without_a_default_route_there_may_be_no_owner() {
    with_room::<2>(|table| {
        assert_eq!(table.lookup(addr("10.0.0.1")), None);
        table.insert(net("10.0.0.0/25"), 1).unwrap();
        table.insert(net("10.0.1.0/25"), 1).unwrap();
        assert_eq!(table.lookup(addr("10.0.0.128")), None);
        assert_eq!(table.lookup(addr("10.0.0.127")), Some(1));
        assert_eq!(table.lookup(addr("::")), None, "the families are apart");
    });
}

#[test]
fn a_prefix_given_to_another_peer_moves() {
    with_room::<3>(|table| {
        table.insert(net("10.0.0.0/8"), 0).unwrap();
        table.insert(net("10.0.0.0/9"), 0).unwrap();
        assert_eq!(table.insert(net("10.7.7.7/8"), 1), Ok(Some(0)));
        assert_eq!(table.insert(net("10.0.0.0/8"), 1), Ok(None), "it has it already");
        assert_eq!(table.lookup(addr("10.255.0.0")), Some(1));
        assert!(table.of(0).eq([net("10.0.0.0/9")]));
        assert!(table.of(1).eq([net("10.0.0.0/8")]));
        assert!(!table.remove(net("10.0.0.0/8"), 0), "not its any more");
        assert!(table.remove(net("10.0.0.0/8"), 1));
        assert!(!table.remove(net("10.0.0.0/8"), 1));
        table.check();
    });
}

#[test]
fn a_fork_is_not_a_route() {
    with_room::<4>(|table| {
        table.insert(net("10.0.0.0/32"), 0).unwrap();
        table.insert(net("10.0.0.3/32"), 1).unwrap();
        assert_eq!(table.lookup(addr("10.0.0.1")), None);
        assert!(!table.remove(net("10.0.0.0/30"), 0));
        assert_eq!(table.insert(net("10.0.0.0/30"), 2), Ok(None));
        assert_eq!(table.lookup(addr("10.0.0.1")), Some(2));
        assert!(table.remove(net("10.0.0.0/30"), 2));
        assert_eq!(table.lookup(addr("10.0.0.1")), None);
        assert_eq!(table.lookup(addr("10.0.0.3")), Some(1));
        table.check();
    });
}

#[test]
fn the_promised_routes_fit_and_a_full_table_changes_nothing() {
    with_room::<3>(|table| {
        // The worst case: every pair of neighbours needs a fork.
        for (text, peer) in [("10.0.0.0/32", 0), ("10.0.0.1/32", 1), ("10.0.0.2/32", 2)] {
            assert_eq!(table.insert(net(text), peer), Ok(None));
        }
        assert_eq!(table.used(), 5);
        assert_eq!(table.insert(net("10.0.0.3/32"), 3), Err(Full), "a route and a fork");
        assert_eq!(table.lookup(addr("10.0.0.3")), None);
        assert_eq!(table.of(3).count(), 0);
        assert_eq!(table.used(), 5);
        table.check();
        assert_eq!(table.insert(net("10.0.0.2/32"), 3), Ok(Some(2)), "moving needs no room");
        assert_eq!(table.insert(net("0.0.0.0/0"), 4), Err(Full), "no such peer");
        assert_eq!(table.insert(net("0.0.0.0/0"), u32::MAX), Err(Full));
        assert_eq!(table.insert(net("0.0.0.0/0"), 3), Ok(None));
        assert_eq!(table.insert(net("128.0.0.0/1"), 3), Err(Full));
        table.check();
    });
}

#[test]
fn coming_and_going_forever_keeps_the_room() {
    with_room::<4>(|table| {
        for round in 0..10_000_u32 {
            let peer = round % 4;
            for last in 0..4 {
                let net = AllowedIp::from(IpAddr::from([10, 0, round as u8, last * 64]));
                assert_eq!(table.insert(net, peer), Ok(None), "round {round}");
            }
            table.remove_peer(peer);
            assert_eq!(table.used(), 0);
        }
    });
}

#[test]
fn removing_a_peer_removes_its_routes_and_no_others() {
    with_room::<6>(|table| {
        for (text, peer) in [
            ("10.0.0.0/8", 0),
            ("10.0.0.0/16", 1),
            ("10.0.0.0/24", 0),
            ("fd00::/8", 0),
            ("fd00::/16", 1),
            ("0.0.0.0/0", 0),
        ] {
            table.insert(net(text), peer).unwrap();
        }
        assert!(table.of(0).eq(["10.0.0.0/8", "10.0.0.0/24", "fd00::/8", "0.0.0.0/0"].map(net)));
        table.remove_peer(0);
        assert_eq!(table.of(0).count(), 0);
        assert!(table.of(1).eq(["10.0.0.0/16", "fd00::/16"].map(net)));
        assert_eq!(table.lookup(addr("10.0.0.1")), Some(1));
        assert_eq!(table.lookup(addr("10.1.0.1")), None);
        assert_eq!(table.used(), 2);
        table.check();
    });
}

#[cfg(feature = "alloc")]
#[test]
fn a_growing_table_takes_a_hundred_thousand_routes() {
    let nodes = Table::Growing { chunks: Vec::new(), vacant: || Node::EMPTY };
    let routes = Table::Growing { chunks: Vec::new(), vacant: || Routes::NONE };
    let mut table = AllowedIps::new(nodes, routes);
    for route in 0..100_000_u32 {
        let addr = IpAddr::from(route.wrapping_mul(0x9e37_79b1).to_be_bytes());
        assert_eq!(table.insert(AllowedIp::from(addr), route % 1000), Ok(None));
    }
    for route in 0..100_000_u32 {
        let addr = IpAddr::from(route.wrapping_mul(0x9e37_79b1).to_be_bytes());
        assert_eq!(table.lookup(addr), Some(route % 1000));
    }
    table.remove_peer(7);
    assert_eq!(table.of(7).count(), 0);
    assert_eq!(table.of(8).count(), 100);
    table.check();
}

/// Few distinct prefixes, so that they nest, fork, repeat and move.
fn any_net() -> impl Strategy<Value = AllowedIp> {
    let v4 = (prop::sample::select(vec![0_u32, 0x0a00_0000, 0xffff_ffff]), any::<u8>(), 0..=32_u8)
        .prop_map(|(base, low, cidr)| {
            AllowedIp::new(IpAddr::from((base ^ u32::from(low)).to_be_bytes()), cidr).unwrap()
        });
    let v6 = (
        prop::sample::select(vec![0_u128, 0xfd << 120, u128::MAX]),
        any::<u8>(),
        prop::sample::select(vec![0, 32, 64, 96, 120]),
        0..=128_u8,
    )
        .prop_map(|(base, low, shift, cidr)| {
            let bits = base ^ (u128::from(low) << shift);
            AllowedIp::new(IpAddr::from(bits.to_be_bytes()), cidr).unwrap()
        });
    prop_oneof![
        v4,
        v6,
        (24..=32_u8, 0..16_u8).prop_map(|(cidr, low)| {
            AllowedIp::new(IpAddr::from([10, 0, 0, low]), cidr).unwrap()
        })
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Insert(AllowedIp, u32),
    Remove(AllowedIp, u32),
    RemovePeer(u32),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (any_net(), 0..4_u32).prop_map(|(net, peer)| Step::Insert(net, peer)),
        6 => (any_net(), 0..4_u32).prop_map(|(net, peer)| Step::Remove(net, peer)),
        1 => (0..4_u32).prop_map(Step::RemovePeer),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_list_agrees(steps in prop::collection::vec(any_step(), 1..120), bits: u128) {
        with_room::<20>(|table| {
            let mut list = List::default();
            for step in steps {
                match step {
                    Step::Insert(net, peer) => match table.insert(net, peer) {
                        Ok(before) => assert_eq!(before, list.insert(net, peer)),
                        Err(Full) => assert!(list.0.len() >= 20 && list.owner(net).is_none()),
                    },
                    Step::Remove(net, peer) => {
                        assert_eq!(table.remove(net, peer), list.remove(net, peer));
                    }
                    Step::RemovePeer(peer) => {
                        table.remove_peer(peer);
                        list.0.retain(|route| route.1 != peer);
                    }
                }
                table.check();
                for peer in 0..4 {
                    assert!(table.of(peer).eq(list.of(peer)));
                }
                for (net, _) in &list.0 {
                    // The first address of the range, and one that differs in its last bit.
                    let addr = net.addr();
                    let other = match addr {
                        IpAddr::V4(addr) => IpAddr::from((addr.to_bits() ^ 1).to_be_bytes()),
                        IpAddr::V6(addr) => IpAddr::from((addr.to_bits() ^ 1).to_be_bytes()),
                    };
                    assert_eq!(table.lookup(addr), list.lookup(addr));
                    assert_eq!(table.lookup(other), list.lookup(other));
                }
                for addr in [
                    IpAddr::from(bits.to_be_bytes()),
                    IpAddr::from((bits as u32).to_be_bytes()),
                    IpAddr::from([10, 0, 0, bits as u8 % 16]),
                ] {
                    assert_eq!(table.lookup(addr), list.lookup(addr));
                }
            }
        });
    }
}
