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

/// Fails with what remains of the script, if it fails.
fn assert_plays(name: &str, steps: Vec<Step>) {
    if fails(&steps) {
        let steps = shortest(steps);
        let text: Vec<_> = steps.iter().map(|step| format!("    {step:?}")).collect();
        println!("the script of {name}, without what is not needed:\n{}", text.join("\n"));
        play(&steps);
    }
}

/// From the environment, for longer runs.
fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |number| number.parse().unwrap())
}

/// Plays the scripts of some seeds. `WG_SCRIPTS` asks for more of them, from `WG_SEED` on.
#[test]
fn no_adversary_breaks_an_invariant() {
    let (first, scripts) = (number("WG_SEED", 0), number("WG_SCRIPTS", 150));
    for seed in first..first + scripts {
        assert_plays(&format!("seed {seed}"), script(seed));
    }
}

/// What two peers and a network that loses, doubles and reorders can do next.
const MOVES: [Step; 9] = [
    Step::Send { from: 0, to: 1, source: 0 },
    Step::Send { from: 1, to: 0, source: 0 },
    Step::Deliver { which: 0, address: 0, mark: 0 },
    Step::Deliver { which: 1, address: 0, mark: 0 },
    Step::Copy { which: 0, address: 0, mark: 0 },
    Step::Lose { which: 0 },
    // Past a retransmission, and past the age at which a session is replaced.
    Step::Wait { millis: 240, more: 160 },
    Step::WaitLong { secs: 125, more: 0 },
    Step::Reboot { at: 1 },
];

/// Before them: nothing, two calls that cross, or a session.
const BEFORE: [&[Step]; 3] =
    [&[], &[MOVES[0], MOVES[1]], &[MOVES[0], Step::Calm { tenths: 5, more: 0 }]];

/// All of them, not some: every order of so many moves. `WG_DEPTH` asks for longer ones.
#[test]
fn every_short_history_ends_in_a_session() {
    let depth = u32::try_from(number("WG_DEPTH", 3)).unwrap();
    for before in BEFORE {
        for history in 0..MOVES.len().pow(depth) {
            let nth = |place| MOVES[history / MOVES.len().pow(place) % MOVES.len()];
            let steps = before.iter().copied().chain((0..depth).map(nth)).collect();
            assert_plays(&format!("history {history}"), steps);
        }
    }
}
