//! Cryptokey routing (whitepaper section 2): which peer owns an inner address.
//!
//! A path-compressed binary trie for each family, in one pool of nodes. A node is a route, or
//! a fork that parts exactly two children; so routes need at most twice as many nodes as they
//! are, in whatever order they come and go, and a lookup is bounded by the prefix length. The
//! routes of one peer are linked in a ring through their nodes, in order of insertion.

use crate::ip::{AllowedIp, Prefix};
use crate::table::{Row, Table};

/// Prefixes and their owners. A prefix has one owner in the whole device.
pub(crate) struct AllowedIps<'a> {
    nodes: Table<'a, Node>,
    /// By peer.
    routes: Table<'a, Routes>,
    root_v4: Option<Row>,
    root_v6: Option<Row>,
    /// The released nodes, linked by their first child.
    vacant: Option<Row>,
    /// Nodes from here on were never used.
    fresh: u32,
}

/// A node of the trie, 40 bytes. A device needs two for each route.
#[derive(Clone, Copy)]
pub(crate) struct Node {
    prefix: Prefix,
    /// Longer prefixes, by their first bit after `prefix`.
    children: [Option<Row>; 2],
    /// The owner of the route, none of a fork.
    peer: Option<Row>,
    /// The owner's other routes, a ring.
    next: Option<Row>,
    previous: Option<Row>,
}

const _: () = assert!(size_of::<Node>() == 40);

impl Node {
    pub(crate) const EMPTY: Self =
        Self { prefix: Prefix::ZERO, children: [None; 2], peer: None, next: None, previous: None };
}

/// The routes of one peer: the oldest of them.
#[derive(Clone, Copy)]
pub(crate) struct Routes(Option<Row>);

impl Routes {
    pub(crate) const NONE: Self = Self(None);
}

/// There is no room for another route; nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Full;

/// What points to a node.
#[derive(Clone, Copy)]
enum Place {
    Root,
    Child(Row, usize),
}

/// The place where a prefix is or belongs, and the node above with the place of that.
struct Trail {
    place: Place,
    above: Option<(Row, Place)>,
}

impl<'a> AllowedIps<'a> {
    /// No routes. `nodes` and `routes` are blank.
    pub(crate) const fn new(nodes: Table<'a, Node>, routes: Table<'a, Routes>) -> Self {
        Self { nodes, routes, root_v4: None, root_v6: None, vacant: None, fresh: 0 }
    }

    /// The owner of the longest prefix that an address is in. At most one node for each bit.
    pub(crate) fn owner_of(&self, addr: &Prefix) -> Option<u32> {
        let mut best = None;
        let mut at = self.occupant(addr, Place::Root);
        while let Some(node) = self.node(at)
            && node.prefix.contains(addr)
        {
            best = node.peer.or(best);
            at = node.child(addr);
        }
        best.map(Row::number)
    }

    /// Gives a prefix to a peer, and tells from whom it was taken.
    pub(crate) fn insert(&mut self, net: AllowedIp, peer: u32) -> Result<Option<u32>, Full> {
        let prefix = &Prefix::from(net);
        let owner = Row::new(peer).ok_or(Full)?;
        while self.routes.get(peer).is_none() {
            if !self.routes.grow() {
                return Err(Full);
            }
        }

        let Trail { place, .. } = self.descend(prefix);
        let below = self.occupant(prefix, place);
        let found = self.node(below).map(|node| node.prefix);
        if let (Some(at), true) = (below, found == Some(*prefix)) {
            let before = self.node(below).and_then(|node| node.peer);
            if before != Some(owner) {
                self.unlink(at);
                self.link(at, owner);
                return Ok(before.map(Row::number));
            }
            return Ok(None);
        }
        let at = self.take(prefix).ok_or(Full)?;
        match found {
            None => self.point(prefix, place, Some(at)),
            Some(found) if prefix.contains(&found) => {
                self.point(&found, Place::Child(at, found.branch_after(prefix)), below);
                self.point(prefix, place, Some(at));
            }
            Some(found) => {
                let shared = prefix.shared_with(&found);
                let Some(fork) = self.take(&shared) else {
                    self.release(at);
                    return Err(Full);
                };
                for (inner, child) in [(&found, below), (prefix, Some(at))] {
                    self.point(inner, Place::Child(fork, inner.branch_after(&shared)), child);
                }
                self.point(prefix, place, Some(fork));
            }
        }
        self.link(at, owner);
        Ok(None)
    }

    /// Takes a prefix from a peer; false when it was not the peer's.
    pub(crate) fn remove(&mut self, net: AllowedIp, peer: u32) -> bool {
        let prefix = &Prefix::from(net);
        let trail = self.descend(prefix);
        let Some(at) = self.occupant(prefix, trail.place) else { return false };
        let Some(node) = self.node(Some(at)) else { return false };
        if node.prefix != *prefix || node.peer.is_none() || node.peer != Row::new(peer) {
            return false;
        }

        let children = node.children;
        self.unlink(at);
        match children {
            // It becomes a fork.
            [Some(_), Some(_)] => return true,
            [only, None] | [None, only] => self.point(prefix, trail.place, only),
        }
        self.release(at);
        // A fork that lost a child parts nothing any more.
        if let Some((fork, place)) = trail.above
            && let Some(&Node { children: [only, None] | [None, only], peer: None, .. }) =
                self.node(Some(fork))
        {
            self.point(prefix, place, only);
            self.release(fork);
        }
        true
    }

    /// Takes all prefixes from a peer.
    pub(crate) fn remove_peer(&mut self, peer: u32) {
        loop {
            let first = self.of(peer).next();
            if !first.is_some_and(|net| self.remove(net, peer)) {
                return;
            }
        }
    }

    /// The prefixes of a peer, in order of insertion.
    pub(crate) fn of(&self, peer: u32) -> impl Iterator<Item = AllowedIp> {
        let first = self.routes.get(peer).and_then(|routes| routes.0);
        let mut at = first;
        core::iter::from_fn(move || {
            let node = self.node(at)?;
            at = node.next.filter(|next| Some(*next) != first);
            node.prefix.to_allowed_ip()
        })
    }

    /// How many more prefixes certainly fit.
    pub(crate) fn free(&self) -> usize {
        if self.nodes.grows() {
            return usize::MAX;
        }
        let used: usize = (0..self.routes.len()).map(|peer| self.of(peer).count()).sum();
        // A route needs a node, and a fork above it at most.
        (self.nodes.len() as usize / 2).saturating_sub(used)
    }

    /// Follows the nodes that contain `prefix` and are shorter.
    fn descend(&self, prefix: &Prefix) -> Trail {
        let mut trail = Trail { place: Place::Root, above: None };
        while let Some(at) = self.occupant(prefix, trail.place)
            && let Some(node) = self.node(Some(at))
            && node.prefix != *prefix
            && node.prefix.contains(prefix)
        {
            let place = Place::Child(at, prefix.branch_after(&node.prefix));
            trail = Trail { place, above: Some((at, trail.place)) };
        }
        trail
    }

    fn node(&self, at: Option<Row>) -> Option<&Node> {
        self.nodes.get(at?.number())
    }

    /// What is at a place of the trie of `family`.
    fn occupant(&self, family: &Prefix, place: Place) -> Option<Row> {
        match place {
            Place::Root if family.is_v6() => self.root_v6,
            Place::Root => self.root_v4,
            Place::Child(at, branch) => *self.node(Some(at))?.children.get(branch)?,
        }
    }

    fn point(&mut self, family: &Prefix, place: Place, to: Option<Row>) {
        match place {
            Place::Root if family.is_v6() => self.root_v6 = to,
            Place::Root => self.root_v4 = to,
            Place::Child(at, branch) => {
                if let Some(node) = self.nodes.get_mut(at.number())
                    && let Some(child) = node.children.get_mut(branch)
                {
                    *child = to;
                }
            }
        }
    }

    /// Makes a vacant place of the pool a node without children or owner.
    fn take(&mut self, prefix: &Prefix) -> Option<Row> {
        let at = match self.vacant {
            Some(at) => {
                self.vacant = self.node(Some(at))?.children[0];
                at
            }
            None => {
                if self.fresh >= self.nodes.len() && !self.nodes.grow() {
                    return None;
                }
                let at = Row::new(self.fresh)?;
                self.fresh = self.fresh.saturating_add(1);
                at
            }
        };
        let node = self.nodes.get_mut(at.number())?;
        node.prefix = *prefix;
        node.children = [None; 2];
        Some(at)
    }

    fn release(&mut self, at: Row) {
        if let Some(node) = self.nodes.get_mut(at.number()) {
            *node = Node { children: [self.vacant, None], ..Node::EMPTY };
            self.vacant = Some(at);
        }
    }

    /// Makes a node a route of `owner`, the last of its ring.
    fn link(&mut self, at: Row, owner: Row) {
        let Some(routes) = self.routes.get_mut(owner.number()) else { return };
        let first = *routes.0.get_or_insert(at);
        let last = self.node(Some(first)).and_then(|first| first.previous).unwrap_or(at);
        if let Some(node) = self.nodes.get_mut(at.number()) {
            node.peer = Some(owner);
        }
        self.join(last, at);
        self.join(at, first);
    }

    /// Makes a route a fork.
    fn unlink(&mut self, at: Row) {
        let Some(node) = self.nodes.get_mut(at.number()) else { return };
        let Some(owner) = node.peer.take() else { return };
        let (Some(previous), Some(next)) = (node.previous.take(), node.next.take()) else { return };
        if let Some(routes) = self.routes.get_mut(owner.number())
            && routes.0 == Some(at)
        {
            routes.0 = (next != at).then_some(next);
        }
        if next != at {
            self.join(previous, next);
        }
    }

    /// Makes two nodes neighbours in their ring.
    fn join(&mut self, previous: Row, next: Row) {
        if let Some(node) = self.nodes.get_mut(previous.number()) {
            node.next = Some(next);
        }
        if let Some(node) = self.nodes.get_mut(next.number()) {
            node.previous = Some(previous);
        }
    }
}

impl Node {
    /// Where an address or prefix that this node contains goes on.
    fn child(&self, inner: &Prefix) -> Option<Row> {
        *self.children.get(inner.branch_after(&self.prefix))?
    }
}

#[cfg(test)]
mod tests;
