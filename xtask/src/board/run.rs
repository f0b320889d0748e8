//! `cargo xtask boards`: the boards against the kernel, case by case.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use super::cases::{CASES, Case, Size};
use super::{Firmware, Kind, Language, World};
use crate::kernel::Image;
use crate::setup;

/// Run firmware with a tunnel on emulated boards, against the Linux kernel's WireGuard.
///
/// Each board and its kernel are on an Ethernet of this program's, which loses, doubles and
/// delays frames, floods, and is pulled. Needs no root. The boards run side by side, first with
/// firmware in Rust, then with firmware in C: lwIP, and the archive of `cargo xtask package-c`.
#[derive(Args)]
pub(crate) struct Boards {
    /// Run this board only.
    #[arg(long, value_name = "BOARD", value_enum)]
    board: Option<Kind>,
    /// Run firmware in this language only.
    #[arg(long, value_name = "LANGUAGE", value_enum)]
    language: Option<Language>,
    /// Run only the cases whose name begins so. May be given several times.
    #[arg(long, value_name = "NAME")]
    case: Vec<String>,
    /// Run less of each case: fewer packets, shorter floods, one rekey. About three and a half
    /// minutes, in place of a quarter of an hour.
    #[arg(long)]
    quick: bool,
    /// Name the cases and what each proves, and run none.
    #[arg(long)]
    list: bool,
    /// Record every Ethernet frame in DIR, a file per board, for Wireshark.
    #[arg(long, value_name = "DIR")]
    pcap: Option<PathBuf>,
}

/// The most stack that the firmware may have used by the end of a case.
const STACK: usize = 12 * 1024;

impl Boards {
    pub(crate) fn run(&self) -> Result<()> {
        for name in &self.case {
            if !CASES.iter().any(|case| case.name.starts_with(name)) {
                bail!("no case is named {name}: see `cargo xtask boards --list`");
            }
        }
        let is_named = |case: &&Case| {
            self.case.is_empty() || self.case.iter().any(|name| case.name.starts_with(name))
        };
        let cases: Vec<_> = CASES.iter().filter(is_named).collect();
        if self.list {
            for case in cases {
                println!("{:<38} {}", case.name, case.proves);
            }
            return Ok(());
        }
        let boards = chosen(Kind::ALL, self.board);
        let languages = chosen(Language::ALL, self.language);
        setup::require(setup::KERNEL)?;
        for board in &boards {
            setup::require(board.needs())?;
        }
        for language in &languages {
            setup::require(language.needs())?;
        }
        if let Some(dir) = &self.pcap {
            std::fs::create_dir_all(dir)?;
        }
        let image = Image::build()?;
        let mut failed: usize = 0;
        for language in languages {
            let build = |&kind| Firmware::build(kind, language);
            let firmware: Vec<_> = boards.iter().map(build).collect::<Result<_>>()?;
            let is_run = |case: &&&Case| !self.is_quick_alone() || case.is_quick(language);
            let cases: Vec<_> = cases.iter().filter(is_run).copied().collect();
            failed += std::thread::scope(|scope| {
                let running: Vec<_> = firmware
                    .iter()
                    .map(|firmware| scope.spawn(|| self.run_board(&image, firmware, &cases)))
                    .collect();
                running.into_iter().map(|board| board.join().unwrap_or(1)).sum::<usize>()
            });
        }
        ensure!(failed == 0, "{failed} cases failed");
        Ok(())
    }

    /// Whether nobody has named the cases that a quick run is to have.
    fn is_quick_alone(&self) -> bool {
        self.quick && self.case.is_empty()
    }

    /// Runs the cases on one board; returns how many failed.
    fn run_board(&self, image: &Image, firmware: &Firmware, cases: &[&Case]) -> usize {
        std::thread::scope(|scope| {
            let beside: Vec<_> = cases
                .iter()
                .filter(|case| case.beside)
                .map(|&case| {
                    let name = format!("boards-{}-{}", firmware.name(), case.name);
                    scope.spawn(move || self.run_case(image, firmware, case, &name, &mut None))
                })
                .collect();
            let (name, mut world) = (format!("boards-{}", firmware.name()), None);
            let failed = cases
                .iter()
                .filter(|case| !case.beside)
                .filter(|case| !self.run_case(image, firmware, case, &name, &mut world))
                .count();
            failed
                + beside
                    .into_iter()
                    .map(|case| case.join().unwrap_or(false))
                    .filter(|ok| !ok)
                    .count()
        })
    }

    /// Runs a case on the kernel that the cases before left, unless one of them failed.
    fn run_case(
        &self,
        image: &Image,
        firmware: &Firmware,
        case: &Case,
        world_name: &str,
        shared: &mut Option<World>,
    ) -> bool {
        let start = Instant::now();
        let size = if self.quick { Size::Quick } else { Size::Whole };
        let world = match shared.take() {
            Some(world) => Ok(world),
            None => World::new(image, world_name, self.pcap.as_deref()),
        };
        let outcome = world.and_then(|mut world| {
            let measured = (case.run)(&mut world, firmware, size)?;
            let stack = check_stack(&world)?;
            *shared = Some(world);
            Ok(format!("stack {stack}; {measured}"))
        });
        let time = start.elapsed().as_secs_f64();
        let name = format!("{:<8} {:<38}", firmware.name(), case.name);
        match &outcome {
            Ok(measured) => println!("{name} ok {time:>6.1} s  {measured}"),
            Err(error) => println!("{name} FAILED {time:.1} s\n{error:#}"),
        }
        outcome.is_ok()
    }
}

/// The one that was asked for, or all of them.
fn chosen<T: Copy>(all: &[T], one: Option<T>) -> Vec<T> {
    one.map_or_else(|| all.to_vec(), |one| vec![one])
}

/// The deepest that the stack has been, by the board's last word on it.
fn check_stack(world: &World) -> Result<usize> {
    let said = world.lines().iter().rev().find_map(|line| line.strip_prefix("status: stack "));
    let bytes = said.and_then(|said| said.split(' ').next()?.parse().ok());
    let bytes: usize = bytes.context("the board said nothing of its stack")?;
    ensure!(bytes <= STACK, "{bytes} bytes of stack were used, {STACK} at most are allowed");
    Ok(bytes)
}
