//! A chart of what a byte costs, as SVG.

use std::fmt::Write;

use super::numbers::{Case, Column, Numbers};

/// The cases of the chart: the cipher alone, then whole packets.
const CASES: &[(&str, &str)] = &[
    ("chacha20_1420", "ChaCha20"),
    ("poly1305_1420", "Poly1305"),
    ("seal_1420", "seal"),
    ("open_1420", "open"),
    ("packet_out_1420", "packet out"),
    ("packet_in_1420", "packet in"),
];

const COLOURS: [&str; 3] = ["#4c72b0", "#55a868", "#c44e52"];
const LEFT: f64 = 110.0;
const WIDTH: f64 = 760.0;
const BAR: f64 = 13.0;
const TOP: f64 = 62.0;

/// Bars for each case, one for each machine.
pub(super) fn draw(numbers: &Numbers) -> String {
    let Numbers(columns) = numbers;
    let cost = |column: &Column, name: &str| column.case(name).ok().and_then(Case::per_byte);
    let costs = CASES.iter().flat_map(|(name, _)| columns.iter().map(|c| cost(c, name)));
    let most = costs.flatten().fold(1.0, f64::max);
    let scale = (WIDTH - LEFT - 60.0) / most;
    let group = BAR * columns.len() as f64 + 14.0;
    let height = TOP + group * CASES.len() as f64 + 10.0;
    let unit = columns.first().map_or("insn", |column| column.unit);
    let unit = if unit == "insn" { "Instructions" } else { "Cycles" };

    let mut bars = String::new();
    for (number, (name, title)) in CASES.iter().enumerate() {
        let top = TOP + group * number as f64;
        text(&mut bars, LEFT - 8.0, top + group / 2.0 - 3.0, "end", title);
        for (row, (column, colour)) in columns.iter().zip(COLOURS).enumerate() {
            let Some(cost) = cost(column, name) else { continue };
            let (y, width) = (top + BAR * row as f64, cost * scale);
            let _ = writeln!(
                bars,
                r#"<rect x="{LEFT}" y="{y:.1}" width="{width:.1}" height="{:.1}" fill="{colour}"/>"#,
                BAR - 2.0
            );
            text(&mut bars, LEFT + width + 5.0, y + BAR - 3.0, "start", &format!("{cost:.1}"));
        }
    }
    let mut legend = String::new();
    for (place, (column, colour)) in columns.iter().zip(COLOURS).enumerate() {
        let x = LEFT + 150.0 * place as f64;
        let _ =
            writeln!(legend, r#"<rect x="{x}" y="34" width="11" height="11" fill="{colour}"/>"#);
        text(&mut legend, x + 16.0, 44.0, "start", column.name);
    }
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="#ffffff"/>
<text x="{LEFT}" y="22" font-size="14">{unit} per byte, messages of 1420 bytes (less is better)</text>
{legend}{bars}</svg>
"##
    )
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    let _ = writeln!(svg, r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{text}</text>"#);
}
