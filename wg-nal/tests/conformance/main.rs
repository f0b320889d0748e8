//! One list of behaviours, and every adapter held to it: over a lossy, reordering network in
//! memory in virtual time, and over the system's sockets.
//!
//! What ran is the table in `docs/conformance.md`. With `WRITE_CONFORMANCE=1` in the environment
//! it is written; else it is compared.

#![allow(unreachable_pub, reason = "modules of one test")]

mod adapters;
mod behaviours;
mod sockets;
#[path = "../virtual_network/mod.rs"]
mod virtual_network;

use std::fmt::Write;
use std::panic::catch_unwind;

use adapters::ADAPTERS;
use behaviours::BEHAVIOURS;
use sockets::{ON_SOCKETS, SOCKETS};

const WHERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/conformance.md");

const HEAD: &str = "\
# What holds over every underlay

Written by the tests of `wg-nal`: `WRITE_CONFORMANCE=1 cargo test -p wg-nal --all-features --test
conformance`. A test run fails when it sees another table than this one.

✓ was seen, ✗ was not, and — is not asked: embassy-net has no sockets of the system.

";

fn passed(test: impl FnOnce() + std::panic::UnwindSafe) -> &'static str {
    if catch_unwind(test).is_ok() { "✓" } else { "✗" }
}

#[test]
fn every_adapter_does_what_the_table_says() {
    // A column each, side by side: they share nothing.
    let columns: Vec<Vec<&str>> = std::thread::scope(|scope| {
        let columns = ADAPTERS.iter().map(|adapter| {
            scope.spawn(move || {
                let memory = BEHAVIOURS.iter().map(|(name, shown)| {
                    println!("{}: {name}", adapter.name);
                    passed(|| shown(adapter))
                });
                let on_sockets = SOCKETS.iter().find(|sockets| sockets.name == adapter.name);
                let on_sockets = ON_SOCKETS.iter().map(|(name, family)| match on_sockets {
                    Some(sockets) => {
                        println!("{}: {name}", adapter.name);
                        passed(|| (sockets.cross)(*family))
                    }
                    None => "—",
                });
                memory.chain(on_sockets).collect()
            })
        });
        let columns: Vec<_> = columns.collect();
        columns.into_iter().map(|column| column.join().unwrap()).collect()
    });

    let mut table = HEAD.to_string();
    write!(table, "| behaviour |").unwrap();
    for adapter in &ADAPTERS {
        write!(table, " {} |", adapter.name).unwrap();
    }
    writeln!(table, "\n| --- |{}", " :-: |".repeat(ADAPTERS.len())).unwrap();
    let names = BEHAVIOURS.iter().map(|(name, _)| *name).chain(ON_SOCKETS.map(|(name, _)| name));
    for (row, name) in names.enumerate() {
        let cells: String = columns.iter().map(|column| format!(" {} |", column[row])).collect();
        writeln!(table, "| {name} |{cells}").unwrap();
    }
    if std::env::var_os("WRITE_CONFORMANCE").is_some() {
        std::fs::write(WHERE, &table).unwrap();
    }
    assert!(!table[HEAD.len()..].contains('✗'), "\n{table}");
    let committed = std::fs::read_to_string(WHERE).unwrap_or_default();
    assert_eq!(committed, table, "docs/conformance.md is out of date");
}
