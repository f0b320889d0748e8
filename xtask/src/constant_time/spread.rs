//! Whether every run of a function took the same number of instructions.

use anyhow::{Context, Result, bail};

/// What must be seen to take now more and now less, and where: a branch on a secret that is in
/// the program for this, and the portable Poly1305, whose carries are branches on Xtensa.
const BRANCHING: &[(&str, &[&str])] = &[
    ("branching_swap", &["xtensa", "xtensa_windowed", "rv32"]),
    ("portable_poly1305_32", &["xtensa", "xtensa_windowed"]),
];

/// What the runs of one function took: a line `spread NAME RUNS LEAST MOST`.
struct Spread<'a> {
    function: &'a str,
    runs: u64,
    least: u64,
    most: u64,
}

impl<'a> Spread<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let mut fields = line.split(' ');
        let function = fields.next()?;
        let [runs, least, most] = [fields.next()?, fields.next()?, fields.next()?]
            .map(|number| number.parse::<u64>().ok());
        Some(Self { function, runs: runs?, least: least?, most: most? })
    }
}

/// Prints what a program counted, and returns what should not be.
pub(super) fn check(name: &str, output: &str) -> Result<Vec<String>> {
    if output.lines().last().map(str::trim) != Some("done") {
        bail!("{name}: the program did not come to its end:\n{output}");
    }
    let mut failures = Vec::new();
    let mut branching = 0;
    for line in output.lines().filter_map(|line| line.trim().strip_prefix("spread ")) {
        let Spread { function, runs, least, most } =
            Spread::read(line).with_context(|| format!("{name}: not a spread: {line}"))?;
        let expected = BRANCHING.iter().find(|(branches, _)| *branches == function);
        let (is_equal, counts) = (least == most, format!("{least} to {most} instructions"));
        match expected {
            Some((_, on)) if !on.contains(&name) => {
                println!("  {runs:>6} runs, {counts}  {function}, whatever they are");
            }
            Some(_) => {
                println!("  {runs:>6} runs, {counts}, as expected  {function}");
                branching += 1;
                if is_equal {
                    failures.push(format!("{name}: the check sees no branch in {function}"));
                }
            }
            None if is_equal => println!("  {runs:>6} runs, each {most} instructions  {function}"),
            None => {
                println!("  {runs:>6} runs, {counts}  {function}");
                failures.push(format!("{name}: {function} took {counts}"));
            }
        }
        if runs < 2 {
            failures.push(format!("{name}: {function} ran {runs} times"));
        }
    }
    let wanted = BRANCHING.iter().filter(|(_, on)| on.contains(&name)).count();
    if branching != wanted {
        failures.push(format!("{name}: {branching} of {wanted} functions that branch were run"));
    }
    Ok(failures)
}

#[cfg(test)]
mod tests {
    use super::check;

    const GOOD: &str = "spread x25519 9 70 70\r\nspread branching_swap 9 20 21\r\n\
        spread portable_poly1305_32 9 30 30\r\ndone\r\n";

    fn failures(from: &str, to: &str) -> Vec<String> {
        let output = GOOD.replace(from, to);
        assert_ne!((output.as_str(), from), (GOOD, to), "what is replaced is there");
        check("rv32", &output).unwrap()
    }

    #[test]
    fn one_instruction_more_in_one_run_fails() {
        assert_eq!(check("rv32", GOOD).unwrap(), [""; 0]);
        let found = failures("70 70", "70 71");
        assert_eq!(found, ["rv32: x25519 took 70 to 71 instructions"]);
    }

    #[test]
    fn a_check_that_sees_no_branch_fails() {
        let found = failures("20 21", "20 20");
        assert_eq!(found, ["rv32: the check sees no branch in branching_swap"]);
        let found = failures("branching_swap", "another");
        assert!(found.contains(&"rv32: 0 of 1 functions that branch were run".to_owned()));
        // The portable Poly1305 is even on RV32, and must not be on Xtensa.
        let found = check("xtensa", GOOD).unwrap();
        assert_eq!(found, ["xtensa: the check sees no branch in portable_poly1305_32"]);
    }

    #[test]
    fn output_without_an_end_or_numbers_is_an_error() {
        assert!(check("rv32", &GOOD.replace("done", "")).is_err());
        assert!(check("rv32", &GOOD.replace("70 70", "70 seventy")).is_err());
        assert_eq!(failures("x25519 9", "x25519 1"), ["rv32: x25519 ran 1 times"]);
    }
}
