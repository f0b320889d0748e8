//! Measures our engine and boringtun in turns, in one process, and prints one flat JSON
//! object: times in nanoseconds, ours divided by theirs, and allocations.
//!
//! `cargo xtask bench-host` runs it and prints a table.

use std::process::ExitCode;

use serde_json::{Map, Value, json};
use wg_benches::Timed;
use wg_benches::handshake::{self, Ours};
use wg_benches::refusals::{Refusals, Wrong};
use wg_benches::routes::Routes;
use wg_benches::timers;
use wg_benches::transport::Transport;

fn main() -> ExitCode {
    if cfg!(debug_assertions) {
        eprintln!("error: built without optimisation: use `cargo xtask bench-host`");
        return ExitCode::FAILURE;
    }
    let mut report = Map::new();
    measure_handshake(&mut report);
    for len in [64, 512, 1420] {
        measure_transport(&mut report, len);
    }
    measure_refusals(&mut report);
    measure_routes(&mut report);
    measure_timers(&mut report);
    println!("{}", Value::Object(report));
    ExitCode::SUCCESS
}

fn measure_handshake(report: &mut Map<String, Value>) {
    let (mut a, mut b) = (Ours::new(), handshake::Boringtun::new());
    let [ours, theirs] = rounds(400, || [a.handshake(), b.handshake()]);
    compare(report, "handshake", &ours, &theirs);
    report.insert("handshake.allocations".into(), ours.allocations.into());
    report.insert("handshake.boringtun_allocations".into(), theirs.allocations.into());
}

fn measure_transport(report: &mut Map<String, Value>, len: usize) {
    let mut transport = Transport::new(len);
    let [seal, their_open, their_seal, open, bare] = rounds(3000, || {
        [
            transport.seal_ours(),
            transport.open_boringtun(),
            transport.seal_boringtun(),
            transport.open_ours(),
            transport.seal_bare(),
        ]
    });
    compare(report, &format!("seal_{len}"), &seal, &their_seal);
    compare(report, &format!("open_{len}"), &open, &their_open);
    for (name, column) in [("seal", &seal), ("open", &open)] {
        report.insert(format!("{name}_{len}.allocations"), column.allocations.into());
    }
    report.insert(format!("aead_{len}.ns"), rounded(bare.median()));
    let overhead = (seal.median_ratio(&bare) - 1.0) * 100.0;
    report.insert(format!("engine_overhead_{len}.percent"), rounded(overhead));
}

fn measure_refusals(report: &mut Map<String, Value>) {
    for (name, wrong) in Wrong::ALL {
        let mut refusals = Refusals::new(wrong);
        let [ours, theirs] = rounds(1000, || [refusals.ours(), refusals.boringtun()]);
        compare(report, &format!("refuse_{name}"), &ours, &theirs);
        report.insert(format!("refuse_{name}.allocations"), ours.allocations.into());
    }
}

fn measure_routes(report: &mut Map<String, Value>) {
    for count in [1, 100, 10_000, 100_000] {
        let mut routes = Routes::new(count);
        let [ours, theirs] = rounds(300, || [routes.ours(), routes.boringtun()]);
        compare(report, &format!("route_{count}"), &ours, &theirs);
    }
}

fn measure_timers(report: &mut Map<String, Value>) {
    for peers in [1, 10_000] {
        let (mut a, mut b) = (timers::Ours::new(peers), timers::Boringtun::new(peers));
        let [wait, tick, serve] = rounds(300, || [a.wait(), b.tick(), a.serve()]);
        compare(report, &format!("timers_{peers}"), &wait, &tick);
        report.insert(format!("timer_served_{peers}.ns"), rounded(serve.median()));
    }
}

/// The measurements of one piece of work, a row for each round.
struct Column {
    nanos: Vec<f64>,
    allocations: u64,
}

/// Does all pieces of work in turns, and leaves out the first rounds, which are warming up.
fn rounds<const N: usize>(count: usize, mut round: impl FnMut() -> [Timed; N]) -> [Column; N] {
    for _ in 0..count / 10 {
        round();
    }
    let mut columns = [const { Column { nanos: Vec::new(), allocations: 0 } }; N];
    for _ in 0..count {
        for (column, timed) in columns.iter_mut().zip(round()) {
            column.nanos.push(timed.nanos());
            let per_operation = timed.allocations.div_ceil(timed.operations.into());
            column.allocations = column.allocations.max(per_operation);
        }
    }
    columns
}

impl Column {
    fn median(&self) -> f64 {
        median(self.nanos.clone())
    }

    /// The median of the rounds' own ratios: what slows down a whole round cancels out.
    fn median_ratio(&self, other: &Self) -> f64 {
        median(self.nanos.iter().zip(&other.nanos).map(|(a, b)| a / b).collect())
    }
}

fn compare(report: &mut Map<String, Value>, name: &str, ours: &Column, theirs: &Column) {
    report.insert(format!("{name}.ratio"), rounded(ours.median_ratio(theirs)));
    report.insert(format!("{name}.ns"), rounded(ours.median()));
    report.insert(format!("{name}.boringtun_ns"), rounded(theirs.median()));
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Four digits that count, whatever the size of the figure.
fn rounded(value: f64) -> Value {
    let figure: f64 = format!("{value:.3e}").parse().expect("a number, just printed");
    json!(figure)
}
