//! Bars for numbers that are compared, as SVG.

use std::fmt::Write;

const COLOURS: [&str; 4] = ["#4c72b0", "#55a868", "#c44e52", "#8172b3"];
const WIDTH: f64 = 760.0;
const BAR: f64 = 13.0;
const TOP: f64 = 62.0;

/// A chart: in each group a bar for each of the series.
pub(crate) struct Chart<'c> {
    pub(crate) title: String,
    /// Where bars begin: the room for the groups' titles.
    pub(crate) left: f64,
    /// What the legend says, in the order of the bars.
    pub(crate) series: Vec<&'c str>,
    pub(crate) groups: Vec<Group<'c>>,
}

/// Bars that are drawn on one scale.
pub(crate) struct Group<'c> {
    pub(crate) title: &'c str,
    pub(crate) values: Vec<Option<f64>>,
    /// The value of the longest bar that fits.
    pub(crate) most: f64,
}

impl Chart<'_> {
    pub(crate) fn draw(&self) -> String {
        let Self { title, left, series, groups } = self;
        let group_height = BAR * series.len() as f64 + 14.0;
        let height = TOP + group_height * groups.len() as f64 + 10.0;

        let mut bars = String::new();
        for (number, group) in groups.iter().enumerate() {
            let top = TOP + group_height * number as f64;
            let scale = (WIDTH - left - 60.0) / group.most;
            text(&mut bars, left - 8.0, top + group_height / 2.0 - 3.0, "end", group.title);
            for (row, (value, colour)) in group.values.iter().zip(COLOURS).enumerate() {
                let Some(value) = value else { continue };
                let (y, width) = (top + BAR * row as f64, value * scale);
                let _ = writeln!(
                    bars,
                    r#"<rect x="{left}" y="{y:.1}" width="{width:.1}" height="{:.1}" fill="{colour}"/>"#,
                    BAR - 2.0
                );
                text(&mut bars, left + width + 5.0, y + BAR - 3.0, "start", &short(*value));
            }
        }
        let mut legend = String::new();
        for (place, (name, colour)) in series.iter().zip(COLOURS).enumerate() {
            let x = left + 150.0 * place as f64;
            let _ = writeln!(
                legend,
                r#"<rect x="{x}" y="34" width="11" height="11" fill="{colour}"/>"#
            );
            text(&mut legend, x + 16.0, 44.0, "start", name);
        }
        format!(
            r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="#ffffff"/>
<text x="{left}" y="22" font-size="14">{title}</text>
{legend}{bars}</svg>
"##
        )
    }
}

/// A digit behind the point, or two for what is small.
fn short(value: f64) -> String {
    if value < 1.0 { format!("{value:.2}") } else { format!("{value:.1}") }
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    let _ = writeln!(svg, r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{text}</text>"#);
}
