//! Whatever an adversary does who owns the network, and whatever hosts and administrators do
//! meanwhile: three devices keep the protocol's invariants.

mod hostile;
mod oracle;
mod pair;

use std::panic::catch_unwind;

use hostile::{Step, play};
use pair::Seeded;
use wg_core::rand_core::TryRng;

/// The steps of a script, of any length.
fn script(seed: u64) -> Vec<Step> {
    let mut rng = Seeded(seed);
    let mut bytes = vec![0; Step::LEN * (1 + rng.below(250) as usize)];
    let Ok(()) = rng.try_fill_bytes(&mut bytes);
    Step::all(&bytes)
}

fn fails(steps: &[Step]) -> bool {
    catch_unwind(|| play(steps)).is_err()
}

/// The same failure, or another, with as few steps as leaving out parts leads to.
fn shortest(mut steps: Vec<Step>) -> Vec<Step> {
    std::panic::set_hook(Box::new(|_| {}));
    let mut part = steps.len().div_ceil(2);
    while part > 0 {
        let mut at = 0;
        while at < steps.len() {
            let mut without = steps.clone();
            without.drain(at..steps.len().min(at + part));
            if fails(&without) {
                steps = without;
            } else {
                at += part;
            }
        }
        part = if part == 1 { 0 } else { part.div_ceil(2) };
    }
    drop(std::panic::take_hook());
    steps
}

/// Plays the scripts of some seeds. `WG_SCRIPTS` asks for more of them, from `WG_SEED` on.
#[test]
fn no_adversary_breaks_an_invariant() {
    let number = |name, default| std::env::var(name).map_or(default, |n| n.parse().unwrap());
    let (first, scripts) = (number("WG_SEED", 0), number("WG_SCRIPTS", 150));
    for seed in first..first + scripts {
        let steps = script(seed);
        if fails(&steps) {
            let steps = shortest(steps);
            let text: Vec<_> = steps.iter().map(|step| format!("    {step:?}")).collect();
            println!("the script of seed {seed}, without what is not needed:\n{}", text.join("\n"));
            play(&steps);
        }
    }
}
