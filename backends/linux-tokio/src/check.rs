//! `wg-tokio check`: what `run` would make of a wg-quick file.

use core::fmt::Write;
use std::collections::BTreeMap;
use std::path::Path;

use wg_core::config::Config;
use wg_core::{AllowedIp, PublicKey};
use wg_tokio::NetworkPlan;

use crate::file::FileText;
use crate::{Failure, print};

pub(crate) fn check(path: &Path) -> Result<(), Failure> {
    let text = FileText::read(path)?;
    let file = text.parse()?;
    let plan = NetworkPlan::of(&file)?;
    let mut lines = vec![this_end(&file)];
    let peers: BTreeMap<_, _> = file.peers().map(|peer| (peer.public_key(), peer)).collect();
    for (key, peer) in &peers {
        let mut line = format!("Peer {key}");
        // Writing to a string does not fail, here and below.
        let _ = match peer.endpoint() {
            Some(at) if at.socket_addr().is_some() => write!(line, " at {at}"),
            Some(at) => write!(line, " at {at}, which is looked up"),
            None => write!(line, ", which has to call"),
        };
        let _ = write!(line, ": {}", list(peer.allowed_ips(), "no allowed IPs"));
        lines.push(line);
    }
    if let Some(mark) = plan.fw_mark() {
        lines.push(format!(
            "A default route: all that has no more special route goes into the tunnel, but for \
             datagrams with the mark {mark}, its own."
        ));
    }
    lines.extend(doubts(&text, &file).into_iter().map(|doubt| format!("But {doubt}.")));
    lines.iter().try_for_each(|line| print(line))
}

fn this_end(file: &Config<'_>) -> String {
    let key = match file.private_key() {
        Some(key) => key.public_key().to_string(),
        None => "without a key".into(),
    };
    let port = match file.listen_port() {
        0 => "any UDP port".into(),
        port => format!("UDP port {port}"),
    };
    format!("This end {key} on {port}: {}", list(file.addresses(), "no addresses"))
}

fn list(items: impl Iterator<Item = impl ToString>, none: &str) -> String {
    let items: Vec<_> = items.map(|item| item.to_string()).collect();
    if items.is_empty() { none.into() } else { items.join(", ") }
}

/// What is allowed, and hardly what was meant.
fn doubts(text: &FileText<'_>, file: &Config<'_>) -> Vec<String> {
    let mut doubts = Vec::new();
    if text.is_for_everybody() {
        doubts.push("everybody can read the keys in this file: chmod 600 it".into());
    }
    let own = file.private_key().map(|key| key.public_key());
    if own.is_none() {
        doubts.push("there is no PrivateKey: add one, as wg-tokio genkey prints it".into());
    }
    for (key, _) in file.host_settings().filter(|(key, _)| *key != "Table") {
        doubts.push(format!("{key} is left to you: no commands are run and nothing is saved"));
    }
    if file.dns_servers().next().is_some() || file.dns_search().next().is_some() {
        doubts.push("DNS is left to you: how names are resolved is not changed".into());
    }
    if file.addresses().next().is_none() {
        doubts.push("there is no Address: nothing on this machine can use the tunnel".into());
    }
    let mut owners: BTreeMap<AllowedIp, PublicKey> = BTreeMap::new();
    for peer in file.peers() {
        let key = peer.public_key();
        if own == Some(key) {
            doubts.push(format!("the peer {key} is this end itself, and is left out"));
        }
        if peer.allowed_ips().next().is_none() {
            doubts.push(format!("no packet goes to {key} or comes from it: it has no AllowedIPs"));
        }
        if peer.endpoint().is_none() && file.listen_port() == 0 {
            doubts.push(format!("{key} cannot know where to call: set a ListenPort"));
        }
        for ips in peer.allowed_ips() {
            if let Some(other) = owners.insert(ips, key).filter(|other| *other != key) {
                doubts.push(format!("{ips} is given to {other} and then to {key}, who has it"));
            }
        }
    }
    doubts
}
