//! A chart of what a byte costs, as SVG.

use super::numbers::{Case, Column, Numbers};
use crate::chart::{Chart, Group};

/// The cases of the chart: the cipher alone, then whole packets.
const CASES: &[(&str, &str)] = &[
    ("chacha20_1420", "ChaCha20"),
    ("poly1305_1420", "Poly1305"),
    ("seal_1420", "seal"),
    ("open_1420", "open"),
    ("packet_out_1420", "packet out"),
    ("packet_in_1420", "packet in"),
];

/// Bars for each case, one for each machine.
pub(super) fn draw(numbers: &Numbers) -> String {
    let Numbers(columns) = numbers;
    let cost = |column: &Column, name: &str| column.case(name).ok().and_then(Case::per_byte);
    let costs = CASES.iter().flat_map(|(name, _)| columns.iter().map(|c| cost(c, name)));
    let most = costs.flatten().fold(1.0, f64::max);
    let unit = columns.first().map_or("insn", |column| column.unit);
    let unit = if unit == "insn" { "Instructions" } else { "Cycles" };
    let groups = CASES.iter().map(|(name, title)| Group {
        title,
        values: columns.iter().map(|column| cost(column, name)).collect(),
        most,
    });
    let chart = Chart {
        title: format!("{unit} per byte, messages of 1420 bytes (less is better)"),
        left: 110.0,
        series: columns.iter().map(|column| column.name).collect(),
        groups: groups.collect(),
    };
    chart.draw()
}
