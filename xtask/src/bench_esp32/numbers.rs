//! What the firmware printed, the table and the JSON object.

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};

/// What one piece of work took on one machine: a line `case NAME BYTES COUNT STACK`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) name: String,
    /// Of payload; 0 for work that has no length.
    pub(super) bytes: u64,
    pub(super) count: u64,
    /// 0 when the machine cannot tell.
    pub(super) stack: u64,
}

impl Case {
    pub(super) fn per_byte(&self) -> Option<f64> {
        (self.bytes > 0).then(|| self.count as f64 / self.bytes as f64)
    }
}

/// The cases of one machine.
pub(super) struct Column {
    /// What its keys begin with.
    pub(super) name: &'static str,
    /// What was counted, as keys end with it.
    pub(super) unit: &'static str,
    pub(super) cases: Vec<Case>,
}

impl Column {
    /// Reads what the firmware printed, which ends with `done`.
    pub(super) fn read(name: &'static str, unit: &'static str, output: &str) -> Result<Self> {
        let mut cases = Vec::new();
        for line in output.lines().filter_map(|line| line.trim().strip_prefix("case ")) {
            let fields: Vec<_> = line.split(' ').collect();
            let [case, numbers @ ..] = fields.as_slice() else { bail!("not a case: {line}") };
            let numbers: Vec<u64> = numbers
                .iter()
                .map(|number| number.parse())
                .collect::<Result<_, _>>()
                .with_context(|| format!("not a case: {line}"))?;
            let &[bytes, count, stack] = numbers.as_slice() else { bail!("not a case: {line}") };
            cases.push(Case { name: (*case).to_owned(), bytes, count, stack });
        }
        if output.lines().last().map(str::trim) != Some("done") {
            bail!("{name}: the firmware did not come to its end:\n{output}");
        }
        let mut column = Self { name, unit, cases };
        column.add_sums()?;
        Ok(column)
    }

    pub(super) fn case(&self, name: &str) -> Result<&Case> {
        self.cases
            .iter()
            .find(|case| case.name == name)
            .with_context(|| format!("{}: the firmware says nothing of {name}", self.name))
    }

    /// What each side of a handshake takes.
    fn add_sums(&mut self) -> Result<()> {
        for (name, [first, second]) in [
            ("handshake_initiator", ["handshake_initiate", "handshake_complete"]),
            ("handshake_responder", ["handshake_respond", "handshake_confirm"]),
        ] {
            let (first, second) = (self.case(first)?, self.case(second)?);
            let (count, stack) = (first.count + second.count, first.stack.max(second.stack));
            self.cases.push(Case { name: name.to_owned(), bytes: 0, count, stack });
        }
        Ok(())
    }

    /// The deepest stack of the cases whose names begin so.
    fn stack(&self, prefix: &str) -> u64 {
        let cases = self.cases.iter().filter(|case| case.name.starts_with(prefix));
        cases.map(|case| case.stack).max().unwrap_or(0)
    }
}

/// All machines.
pub(super) struct Numbers(pub(super) Vec<Column>);

/// The clocks of the chips: all of them reach 160 MHz, the Xtensa ones 240.
const CLOCKS: [f64; 2] = [160.0, 240.0];

impl Numbers {
    pub(super) fn print(&self) {
        for Column { name, unit, cases } in &self.0 {
            println!(
                "\n{name:<22}{unit:>12}{:>10}{:>8}{:>14}{:>14}",
                "per byte", "stack", "160 MHz", "240 MHz"
            );
            for case in cases {
                let per_byte = case.per_byte().map(|each| format!("{each:.2}"));
                let [slow, fast] = CLOCKS.map(|clock| speed(case, clock));
                println!(
                    "{:<22}{:>12}{:>10}{:>8}{slow:>14}{fast:>14}",
                    case.name,
                    case.count,
                    per_byte.unwrap_or_default(),
                    case.stack,
                );
            }
        }
        if self.0.iter().any(|column| column.unit == "insn") {
            println!(
                "\nThe last two columns are estimates, of a processor that takes one cycle for \
                 each instruction. The C3 and C6 (rv32) have no 240 MHz."
            );
        }
    }

    /// One flat object of numbers.
    pub(super) fn json(&self) -> Map<String, Value> {
        let mut object = Map::new();
        for column in &self.0 {
            let Column { name, unit, cases } = column;
            for case in cases {
                let key = format!("{name}.{}", case.name);
                object.insert(format!("{key}.{unit}"), case.count.into());
                if let Some(each) = case.per_byte() {
                    let each = (each * 100.0).round() / 100.0;
                    object.insert(format!("{key}.{unit}_per_byte"), each.into());
                }
                if case.stack > 0 {
                    object.insert(format!("{key}.stack_bytes"), case.stack.into());
                }
            }
            for group in ["handshake", "packet"] {
                let deepest = column.stack(&format!("{group}_"));
                if deepest > 0 {
                    object.insert(format!("{name}.{group}.stack_bytes"), deepest.into());
                }
            }
        }
        object
    }
}

/// Megabytes per second, or the time of one, at so many MHz and an instruction per cycle.
fn speed(case: &Case, megahertz: f64) -> String {
    if let Some(each) = case.per_byte() {
        return format!("{:.2} MB/s", megahertz / each);
    }
    match case.count as f64 / megahertz {
        micros if micros >= 1000.0 => format!("{:.2} ms", micros / 1000.0),
        micros => format!("{micros:.1} us"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "case seal_64 64 6400 800\r\ncase handshake_initiate 0 5 30\n\
        case handshake_complete 0 6 20\ncase handshake_respond 0 7 10\n\
        case handshake_confirm 0 8 40\ncase refuse_mac1 0 9 0\ndone\n";

    #[test]
    fn keys_are_machine_case_and_unit() {
        let numbers = Numbers(vec![Column::read("xtensa", "insn", OUTPUT).unwrap()]);
        let object = numbers.json();
        for (key, value) in [
            ("xtensa.seal_64.insn", 6400.0),
            ("xtensa.seal_64.insn_per_byte", 100.0),
            ("xtensa.seal_64.stack_bytes", 800.0),
            ("xtensa.handshake_initiator.insn", 11.0),
            ("xtensa.handshake_responder.insn", 15.0),
            ("xtensa.handshake.stack_bytes", 40.0),
        ] {
            assert_eq!(object.get(key).and_then(Value::as_f64), Some(value), "{key}");
        }
        assert!(!object.contains_key("xtensa.refuse_mac1.stack_bytes"), "0 is no measurement");
        assert!(!object.contains_key("xtensa.refuse_mac1.insn_per_byte"));
    }

    #[test]
    fn output_without_an_end_is_an_error() {
        for output in ["", "wrong answer: X25519", OUTPUT.strip_suffix("done\n").unwrap()] {
            assert!(Column::read("xtensa", "insn", output).is_err(), "{output}");
        }
        let garbled = OUTPUT.replace("64 6400", "64 six");
        assert!(Column::read("xtensa", "insn", &garbled).is_err());
    }

    #[test]
    fn a_speed_is_bytes_or_a_time() {
        let case = |bytes, count| Case { name: String::new(), bytes, count, stack: 0 };
        assert_eq!(speed(&case(64, 6400), 160.0), "1.60 MB/s");
        assert_eq!(speed(&case(0, 3_200_000), 160.0), "20.00 ms");
        assert_eq!(speed(&case(0, 320), 160.0), "2.0 us");
    }
}
