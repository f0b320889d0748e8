//! The medians, as a table, as JSON and as a chart.

use serde_json::{Map, Value};

use super::load::Numbers;
use crate::chart::{Chart, Group};

/// What is measured, and how the table and the chart call it.
const ROWS: &[(&str, &str)] = &[
    ("tcp1.gbit_per_s", "TCP, one stream, Gbit/s"),
    ("tcp8.gbit_per_s", "TCP, eight streams, Gbit/s"),
    ("tcp1.cpu_s_per_gb", "TCP, one stream, CPU s per GB"),
    ("tcp8.cpu_s_per_gb", "TCP, eight streams, CPU s per GB"),
    ("udp64.packets_per_s", "UDP of 64 B, packets per s"),
    ("udp64.cpu_us_per_packet", "UDP of 64 B, CPU us per packet"),
    ("ping.idle_ms", "ping, idle, ms"),
    ("ping.load_ms", "ping beside TCP, ms"),
    ("rest.memory_mb", "memory at rest, MB"),
];

/// The numbers of all turns so far.
pub(super) struct Report {
    programs: Vec<(&'static str, Vec<(&'static str, f64)>)>,
}

impl Report {
    pub(super) fn new(programs: impl Iterator<Item = &'static str>) -> Self {
        Self { programs: programs.map(|name| (name, Vec::new())).collect() }
    }

    pub(super) fn add(&mut self, program: &str, numbers: &Numbers) {
        for (name, all) in &mut self.programs {
            if *name == program {
                all.extend_from_slice(numbers);
            }
        }
    }

    /// The median of a program's turns.
    fn median(&self, program: &str, row: &str) -> Option<f64> {
        let (_, numbers) = self.programs.iter().find(|(name, _)| *name == program)?;
        let values = numbers.iter().filter(|(name, _)| *name == row);
        let mut values: Vec<f64> = values.map(|(_, value)| *value).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    }

    /// The table, as Markdown has it.
    pub(super) fn print(&self) {
        let names: Vec<_> = self.programs.iter().map(|(name, _)| *name).collect();
        println!("| | {} |", names.join(" | "));
        println!("|---{}|", "|---".repeat(names.len()));
        for (row, title) in ROWS {
            let cell = |name: &&str| {
                self.median(name, row).map_or_else(|| "-".into(), |value| rounded(row, value))
            };
            let cells: Vec<_> = names.iter().map(cell).collect();
            println!("| {title} | {} |", cells.join(" | "));
        }
    }

    /// `PROGRAM.WHAT`, and `ratio.WHAT`: ours divided by boringtun-cli's.
    pub(super) fn json(&self) -> Map<String, Value> {
        let mut object = Map::new();
        for (name, _) in &self.programs {
            for (row, _) in ROWS {
                if let Some(value) = self.median(name, row) {
                    object.insert(format!("{}.{row}", name.replace('-', "_")), value.into());
                }
            }
        }
        for (row, _) in ROWS {
            let (ours, theirs) = (self.median("wg-tokio", row), self.median("boringtun-cli", row));
            if let (Some(ours), Some(theirs)) = (ours, theirs) {
                object.insert(format!("ratio.{row}"), (ours / theirs).into());
            }
        }
        object
    }

    /// Costs and times, of which less is better; the bare cable has none.
    pub(super) fn chart(&self) -> Chart<'_> {
        let names = self.programs.iter().map(|(name, _)| *name).filter(|name| *name != "none");
        let names: Vec<_> = names.collect();
        let groups = ROWS.iter().filter(|(row, _)| !row.ends_with("_per_s")).map(|(row, title)| {
            let values: Vec<_> = names.iter().map(|name| self.median(name, row)).collect();
            let most = values.iter().flatten().copied().fold(f64::MIN_POSITIVE, f64::max);
            Group { title, values, most }
        });
        Chart {
            title: "WireGuard in user space on Linux (less is better)".into(),
            left: 220.0,
            groups: groups.collect(),
            series: names,
        }
    }
}

fn rounded(row: &str, value: f64) -> String {
    match row {
        "udp64.packets_per_s" => format!("{value:.0}"),
        _ if value < 1.0 => format!("{value:.3}"),
        _ => format!("{value:.2}"),
    }
}
