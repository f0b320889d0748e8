//! What is claimed of the engine, by which evidence, and the part of docs/assurance.md that says
//! so.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::spec;
use crate::workspace::root;

/// The sections of docs/assurance.md that are written by this program, by their names.
const CLAIMS: &str = "claims";
pub(super) const FAULTS: &str = "faults";

struct Claim {
    claim: &'static str,
    /// Tests of this workspace, by name; or what a command is that is no test.
    tests: &'static [&'static str],
    /// What runs the evidence, where it is not `cargo xtask test`.
    command: &'static str,
}

const TEST: &str = "cargo xtask test --step tests";
const TRUST: &str = "cargo xtask trust";

const fn tested(claim: &'static str, tests: &'static [&'static str]) -> Claim {
    Claim { claim, tests, command: TEST }
}

const TABLE: &[Claim] = &[
    Claim {
        claim: "whatever the network, hosts and administrators do in whatever order, no invariant of the protocol breaks, and sessions come up again within 20 s of a sound network",
        tests: &["no_adversary_breaks_an_invariant"],
        command: TRUST,
    },
    Claim {
        claim: "of all orders of a few moves of two peers and their network none leads where no session comes up: sends, deliveries, copies, losses, waits, reboots",
        tests: &["every_short_history_ends_in_a_session"],
        command: TRUST,
    },
    Claim {
        claim: "work grows with the number of peers and the length of a configuration, and no faster, also for chosen keys",
        tests: &[
            "peers_with_chosen_keys_are_found_as_fast_as_others",
            "a_configuration_is_read_in_time_that_grows_with_its_length",
            "the_next_deadline_costs_the_same_however_many_peers_wait",
        ],
        command: TRUST,
    },
    Claim {
        claim: "on bad networks as much arrives, for as many handshakes and bytes, as the snapshot says; boringtun at one end changes nothing",
        tests: &["the_grid_is_as_its_snapshot", "the_grid_with_boringtun_is_as_its_snapshot"],
        command: TRUST,
    },
    tested(
        "a setting, a packet, an attack and time in any order leave a device that answers",
        &["whatever_happens_a_device_keeps_its_promises"],
    ),
    tested(
        "a replayed message of any kind, at any moment, changes nothing",
        &[
            "recorded_traffic_changes_nothing_on_either_side",
            "a_replay_changes_nothing_whether_data_or_keepalive",
            "a_recorded_initiation_is_refused_as_long_as_the_peer_lives",
            "a_replayed_packet_from_a_new_address_steals_no_endpoint",
            "a_replayed_packet_is_no_answer",
        ],
    ),
    tested(
        "an answer that was held back opens nothing and moves nobody",
        &[
            "a_response_held_back_is_refused_once_the_peer_has_called",
            "a_response_held_back_is_refused_once_a_later_one_was_taken",
            "no_initiation_outlives_giving_up",
        ],
    ),
    tested(
        "a forged or stolen cookie reply moves no endpoint and no timer, and is used for nobody else",
        &[
            "a_cookie_reply_steals_no_endpoint_and_moves_no_timer",
            "a_cookie_reply_that_is_not_for_our_last_message_is_refused",
            "one_peers_cookie_is_not_used_for_another",
            "a_cookie_is_good_for_its_own_address_and_port_only",
        ],
    ),
    tested(
        "a flood costs no more than its budget, whatever the number of sources, and honest peers get through it",
        &[
            "the_work_of_a_second_is_bounded_whatever_the_number_of_sources",
            "a_known_peer_gets_through_within_10_s_under_8_and_64_and_1000_and_100000_sources",
            "an_unknown_address_gets_through_within_60_s_under_64_sources",
            "an_attack_that_pauses_keeps_no_known_peer_out",
            "without_cookies_an_attack_costs_no_arithmetic_past_the_budget",
        ],
    ),
    Claim {
        claim: "what a refused packet costs a microcontroller, and firmware's traffic during floods, is counted",
        tests: &[],
        command: "cargo xtask bench-esp32 --emulator; cargo xtask boards --case load.",
    },
    tested(
        "nothing forged steals an endpoint",
        &["nothing_forged_steals_an_endpoint", "every_bit_of_a_data_message_counts"],
    ),
    tested(
        "an insider sends under no address but its own",
        &[
            "a_peer_cannot_send_from_an_address_of_another_peer_inside_its_own_prefix",
            "the_source_is_checked_and_not_the_destination",
        ],
    ),
    tested(
        "timestamps hold over reboots and clocks that jump",
        &[
            "a_clock_that_steps_back_still_sends_increasing_timestamps",
            "an_equal_or_smaller_timestamp_is_refused_and_a_greater_one_accepted",
            "a_first_timestamp_of_zeros_is_refused",
        ],
    ),
    tested(
        "every table that fills up refuses one more, and keeps what it has",
        &[
            "a_full_device_refuses_one_more_peer_and_changes_nothing",
            "a_whole_table_refuses_one_more_and_keeps_what_it_has",
            "a_table_full_of_sources_serves_few_at_once_until_they_are_idle",
            "unanswered_initiations_and_unconfirmed_responses_use_up_no_indices",
        ],
    ),
    tested(
        "points of low order make no session",
        &[
            "an_initiation_with_an_ephemeral_of_low_order_is_refused",
            "a_response_with_an_ephemeral_of_low_order_is_refused",
            "a_peer_whose_key_is_of_low_order_is_neither_called_nor_answered",
        ],
    ),
    tested(
        "who has no key gets no answer, and leaves no trace",
        &[
            "refused_messages_leave_no_trace_in_the_life_of_two_peers",
            "garbage_is_refused_and_changes_nothing",
            "every_refused_datagram_is_counted_by_its_reason",
        ],
    ),
    tested(
        "indices are random, so that guessing one is a matter of 32 bits",
        &["indices_are_random", "a_response_matches_only_a_live_handshake"],
    ),
    tested(
        "a nonce is used once, and a packet accepted once, also in two phases",
        &[
            "a_nonce_is_never_used_again_even_when_the_send_fails",
            "a_datagram_opened_twice_at_once_is_accepted_once",
            "the_device_agrees_with_a_set",
        ],
    ),
    tested(
        "no key stays in the memory of a device after it ended: peer removed, session replaced or wiped, device down or dropped",
        &[
            "nothing_secret_stays_in_the_storage_of_a_device_that_was_dropped",
            "session_keys_go_when_the_session_is_replaced_or_wiped_or_down_or_its_peer_removed",
            "a_private_key_that_was_replaced_or_removed_is_gone",
            "an_ephemeral_key_lives_as_long_as_its_handshake",
        ],
    ),
    tested(
        "no key is printed by anything that can be printed",
        &[
            "key_types_are_silent",
            "a_device_and_what_it_tells_are_silent",
            "configurations_are_silent_whatever_is_wrong_with_them",
            "a_derived_debug_of_a_secret_is_caught",
        ],
    ),
    tested(
        "no text and no bytes make a parser panic, or take more than they may",
        &[
            "no_bytes_make_it_panic",
            "a_line_or_a_request_without_an_end_takes_no_more_memory_than_a_long_one",
        ],
    ),
    Claim {
        claim: "`word32`, as compiled for Xtensa and RV32IMC, takes no time by its secrets",
        tests: &[],
        command: "cargo xtask constant-time",
    },
    Claim {
        claim: "the engine's code for a microcontroller has no panic",
        tests: &[],
        command: "cargo xtask size --quick",
    },
    tested(
        "other people's implementations are understood, and the paper's bytes are sent",
        &[
            "an_initiation_is_the_papers_bytes",
            "snow_initiates_and_traffic_flows",
            "snow_responds_and_traffic_flows",
        ],
    ),
    Claim {
        claim: "the Linux kernel's WireGuard agrees, case by case",
        tests: &[],
        command: "cargo xtask interop",
    },
    Claim {
        claim: "the interface for lwIP is clean under AddressSanitizer",
        tests: &[],
        command: "cargo xtask lwip",
    },
    Claim {
        claim: "no dependency has an unknown licence or comes from an unknown source",
        tests: &[],
        command: "cargo xtask test --step deny",
    },
];

fn path() -> PathBuf {
    root().join("docs/assurance.md")
}

fn table() -> Result<String> {
    let mut table = String::from("| claim | evidence | command |\n| --- | --- | --- |\n");
    for Claim { claim, tests, command } in TABLE {
        let tests: Vec<_> = tests.iter().map(|test| format!("`{test}`")).collect();
        let commands: Vec<_> = command.split("; ").map(|one| format!("`{one}`")).collect();
        let evidence = if tests.is_empty() { "the command".to_owned() } else { tests.join(", ") };
        writeln!(table, "| {claim} | {evidence} | {} |", commands.join(", "))?;
    }
    Ok(table)
}

/// Checks that every test of the table exists, and that docs/assurance.md has the table.
pub(super) fn check() -> Result<()> {
    let existing = spec::all_tests()?;
    let named = TABLE.iter().flat_map(|claim| claim.tests);
    let missing: Vec<_> = named.filter(|test| !existing.contains(**test)).collect();
    if !missing.is_empty() {
        bail!("these tests of claims do not exist: {missing:?}");
    }
    let text = fs::read_to_string(path()).context("docs/assurance.md")?;
    if !text.contains(&table()?) {
        bail!("docs/assurance.md is old: `cargo xtask trust --write`");
    }
    println!("{} claims, each with its evidence", TABLE.len());
    Ok(())
}

pub(super) fn write() -> Result<()> {
    replace(CLAIMS, &table()?)
}

/// Puts a section between its two marks.
pub(super) fn replace(section: &str, table: &str) -> Result<()> {
    let text = fs::read_to_string(path()).context("docs/assurance.md")?;
    let (begin, end) = (format!("<!-- {section}:"), format!("<!-- end of {section} -->"));
    let parts = text.split_once(&begin).and_then(|(before, rest)| {
        let (mark, rest) = rest.split_once("-->")?;
        let (_, after) = rest.split_once(&end)?;
        Some(format!("{before}{begin}{mark}-->\n\n{table}\n{end}{after}"))
    });
    let text = parts.with_context(|| format!("docs/assurance.md has no section {section}"))?;
    fs::write(path(), text).context("docs/assurance.md")
}
