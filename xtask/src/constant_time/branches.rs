//! Conditional branches in the hot functions, as compiled.

use anyhow::{Context, Result};

/// How a function's name ends, and its conditional branches: the ends of its loops.
const HOT: &[(&str, usize)] = &[
    // Whether there is a block at all, and is another.
    ("word32::chacha20::ChaCha20>::apply_blocks", 2),
    ("word32::poly1305::accumulator::Accumulator>::update", 2),
    ("word32::poly1305::accumulator::Accumulator>::reduced", 0),
    ("word32::poly1305::Poly1305>::finish", 0),
    ("word32::field::Field>::set_product", 0),
    ("word32::field::Field>::set_square", 0),
    ("word32::field::Field>::set_sum_with_121666_times", 1),
    ("word32::field::Field>::to_bytes", 0),
    ("word32::x25519::Ladder>::step", 0),
    // The loops over bytes and over bits.
    ("word32::x25519::Ladder>::climb", 2),
];

/// What must be seen to branch on Xtensa.
const BRANCHING: &str = "word32::portable_poly1305";

/// Prints what it finds in the assembly of a program, and returns what should not be.
pub(super) fn check(name: &str, assembly: &str) -> Result<Vec<String>> {
    let mut failures = Vec::new();
    let functions = functions(assembly);
    for &(end, allowed) in HOT {
        let branches = most_branches(&functions, end)
            .with_context(|| format!("{name}: no function is called {end}"))?;
        println!("  {branches} of {allowed} branches  {end}");
        if branches > allowed {
            failures.push(format!("{name}: {end} has {branches} branches, not {allowed}"));
        }
    }
    if name != "rv32" {
        let seen = most_branches(&functions, BRANCHING)
            .with_context(|| format!("{name}: no function is called {BRANCHING}"))?;
        println!("  {seen} branches, as expected  {BRANCHING}");
        // Two of them end loops or look for a part of a block.
        if seen < 10 {
            failures.push(format!("{name}: the check sees no branches in {BRANCHING}"));
        }
    }
    Ok(failures)
}

struct Function {
    name: String,
    branches: usize,
}

/// Of the functions that are called so: wg-core is in the program twice.
fn most_branches(functions: &[Function], end: &str) -> Option<usize> {
    let called_so = functions.iter().filter(|function| function.name.ends_with(end));
    called_so.map(|function| function.branches).max()
}

/// The functions of a program in assembly. On both instruction sets the conditional branches are
/// the instructions that begin with a b, but for `break`.
fn functions(assembly: &str) -> Vec<Function> {
    let mut functions: Vec<Function> = Vec::new();
    for line in assembly.lines() {
        if let Some(label) = line.split_once(':').map(|(label, _)| label)
            && label.starts_with("_R")
        {
            let name = format!("{:#}", rustc_demangle::demangle(label));
            functions.push(Function { name, branches: 0 });
        } else if let (Some(function), Some(instruction)) =
            (functions.last_mut(), line.strip_prefix('\t'))
            && instruction.starts_with('b')
            && !instruction.starts_with("break")
        {
            function.branches += 1;
        }
    }
    functions
}

#[cfg(test)]
mod tests {
    use super::{functions, most_branches};

    #[test]
    fn conditional_branches_are_counted_and_nothing_else() {
        let assembly = "_RNvNtC1a1b3one:\n\tbltu\ta2, a3, .LBB0_1\n\tj .LBB0_1\n.LBB0_1:\n\
            \tbreak 1, 1\n\t.byte 1\n\tadd a2, a3, a4\n\tbnez a2, .LBB0_1\n\
            _RNvNtC1a1b3two:\n\tret\n";
        let functions = functions(assembly);
        assert_eq!(most_branches(&functions, "b::one"), Some(2));
        assert_eq!(most_branches(&functions, "b::two"), Some(0));
        assert_eq!(most_branches(&functions, "b::three"), None);
    }
}
