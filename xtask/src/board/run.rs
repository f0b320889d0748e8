//! `cargo xtask boards`: the boards against the kernel, case by case.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use super::cases::{CASES, Case};
use super::{Firmware, Kind, World};
use crate::kernel::Image;
use crate::setup;

/// Run firmware with a tunnel on emulated boards, against the Linux kernel's WireGuard.
///
/// Each board and its kernel are on an Ethernet of this program's, which loses, doubles and
/// delays frames, floods, and is pulled. Needs no root. The boards run side by side.
#[derive(Args)]
pub(crate) struct Boards {
    /// Run this board only.
    #[arg(long, value_name = "BOARD", value_enum)]
    board: Option<Kind>,
    /// Run only the cases whose name begins so. May be given several times.
    #[arg(long, value_name = "NAME")]
    case: Vec<String>,
    /// Leave out the cases that take over a minute.
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
const STACK: usize = 16 * 1024;

impl Boards {
    pub(crate) fn run(&self) -> Result<()> {
        let is_named = |case: &&Case| {
            self.case.is_empty() || self.case.iter().any(|name| case.name.starts_with(name))
        };
        let cases: Vec<_> =
            CASES.iter().filter(is_named).filter(|case| !case.slow || !self.quick).collect();
        if cases.is_empty() {
            bail!("no case is named so: see `cargo xtask boards --list`");
        }
        if self.list {
            for case in cases {
                println!("{:<30} {}", case.name, case.proves);
            }
            return Ok(());
        }
        let boards: Vec<_> = Kind::ALL
            .iter()
            .copied()
            .filter(|kind| self.board.is_none_or(|b| b == *kind))
            .collect();
        setup::require(setup::KERNEL)?;
        for board in &boards {
            setup::require(board.needs())?;
        }
        if let Some(dir) = &self.pcap {
            std::fs::create_dir_all(dir)?;
        }
        let image = Image::build()?;
        let firmware: Vec<_> = boards.into_iter().map(Firmware::build).collect::<Result<_>>()?;
        let failed: usize = std::thread::scope(|scope| {
            let running: Vec<_> = firmware
                .iter()
                .map(|firmware| scope.spawn(|| self.run_board(&image, firmware, &cases)))
                .collect();
            running.into_iter().map(|board| board.join().unwrap_or(1)).sum()
        });
        ensure!(failed == 0, "{failed} cases failed");
        Ok(())
    }

    /// Runs the cases on one board; returns how many failed.
    fn run_board(&self, image: &Image, firmware: &Firmware, cases: &[&Case]) -> usize {
        let name = firmware.kind.name();
        let (mut failed, mut world) = (0, None);
        for case in cases {
            let start = Instant::now();
            let outcome = match world.take() {
                Some(world) => Ok(world),
                None => World::new(image, &format!("boards-{name}"), self.pcap.as_deref()),
            }
            .and_then(|mut scene| {
                let measured = (case.run)(&mut scene, firmware)?;
                let stack = check_stack(&scene)?;
                // A kernel that a failed case leaves is not for the next one.
                world = Some(scene);
                Ok(format!("stack {stack}; {measured}"))
            });
            let time = start.elapsed().as_secs_f64();
            match outcome {
                Ok(measured) => {
                    println!("{name:<7} {:<30} ok {time:>6.1} s  {measured}", case.name);
                }
                Err(error) => {
                    failed += 1;
                    println!("{name:<7} {:<30} FAILED {time:.1} s\n{error:#}", case.name);
                }
            }
        }
        failed
    }
}

/// The deepest that the stack has been, by the board's last word on it.
fn check_stack(world: &World) -> Result<usize> {
    let said = world.lines().iter().rev().find_map(|line| line.strip_prefix("status: stack "));
    let bytes = said.and_then(|said| said.split(' ').next()?.parse().ok());
    let bytes: usize = bytes.context("the board said nothing of its stack")?;
    ensure!(bytes <= STACK, "{bytes} bytes of stack were used, {STACK} at most are allowed");
    Ok(bytes)
}
