//! `cargo xtask interop`: the engine, and wg-nal, wg-esp-idf and wg-c around it, against a Linux kernel's
//! WireGuard.

mod cookie;
mod counters;
mod data;
mod handshake;
mod keepalive;
mod refusal;
mod rekey;
mod replay;
mod report;
mod restart;
mod roaming;
mod scene;

use core::time::Duration;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, bail};
use clap::Args;
use indicatif::ProgressBar;

use crate::kernel::Image;
use crate::peer::Driver;
use crate::setup::{self, Need};
use report::{Outcome, Report};
pub(crate) use scene::{
    KERNEL_INNER, KERNEL_OUTER, KERNEL_PORT, MTU, OUR_INNER, OUR_OUTER, OUR_PORT, OURS_ELSEWHERE,
    Scene, Tunnel, V4, V6,
};

/// Boot a Linux kernel with WireGuard in an emulator and prove the engine against it.
///
/// Our end of the tunnel is wg-core in this process; the kernel's network card is a socket
/// of ours, so no root and no interface of this machine is involved. The kernel comes from
/// Debian once (30 MB) and is kept under target/interop.
///
/// The cases run with the engine alone, with wg-nal around it (its blocking tunnel over
/// embedded-nal, and its runner over embedded-nal-async), with wg-esp-idf, whose sockets are
/// relayed between the loopback and the kernel, and with wg-c as an interface of a real lwIP.
#[derive(Args)]
pub(crate) struct Interop {
    /// Run only the cases whose name begins so, such as `replay` or `data.every_ping_size`.
    /// May be given several times.
    #[arg(long, value_name = "NAME")]
    case: Vec<String>,
    /// Run the cases only with this driver of our end. May be given several times.
    #[arg(long, value_enum, value_name = "DRIVER")]
    driver: Vec<Driver>,
    /// Also run the cases that take over six minutes: rekeys by age.
    #[arg(long)]
    slow: bool,
    /// Name the cases and what each proves, and run none.
    #[arg(long)]
    list: bool,
    /// Write the outcome as one JSON object: `passed`, `failed`, `skipped`, `cases`.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Record every Ethernet frame in DIR, a file per kernel, for Wireshark.
    #[arg(long, value_name = "DIR")]
    pcap: Option<PathBuf>,
}

/// One behaviour, proven on a tunnel of its own.
struct Case {
    /// The file's noun and the behaviour.
    name: &'static str,
    /// What a pass proves.
    proves: &'static str,
    run: fn(&mut Scene) -> Result<()>,
    /// Takes minutes, and so a kernel of its own beside the others. With the engine only.
    slow: bool,
    /// The drivers that cannot do it, and why.
    except: Option<(&'static [Driver], &'static str)>,
}

impl Case {
    const fn new(
        name: &'static str,
        proves: &'static str,
        run: fn(&mut Scene) -> Result<()>,
    ) -> Self {
        Self { name, proves, run, slow: false, except: None }
    }

    const fn not_with(self, drivers: &'static [Driver], why: &'static str) -> Self {
        Self { except: Some((drivers, why)), ..self }
    }

    fn runs_with(&self, driver: Driver) -> bool {
        let can = self.except.is_none_or(|(drivers, _)| !drivers.contains(&driver));
        can && (driver == Driver::Engine || !self.slow)
    }

    const fn slow(self) -> Self {
        Self { slow: true, ..self }
    }
}

const CASES: &[&[Case]] = &[
    handshake::CASES,
    // Before the streams: a closing TCP connection still has something to say.
    keepalive::CASES,
    data::CASES,
    roaming::CASES,
    restart::CASES,
    refusal::CASES,
    cookie::CASES,
    replay::CASES,
    counters::CASES,
    rekey::CASES,
];

impl Interop {
    pub(crate) fn run(&self) -> Result<()> {
        let cases = self.selected()?;
        if self.list {
            for case in cases {
                let slow = if case.slow { " (--slow)" } else { "" };
                println!("{:<42} {}{slow}", case.name, case.proves);
            }
            return Ok(());
        }
        setup::require(setup::KERNEL)?;
        if self.drivers().contains(&Driver::C) {
            setup::require(&[Need::CCompiler])?;
        }
        if let Some(dir) = &self.pcap {
            std::fs::create_dir_all(dir)?;
        }
        let image = Image::build()?;
        let report = self.run_cases(&image, &cases);
        report.print_summary();
        if let Some(file) = &self.json {
            report.write_json(file)?;
        }
        if report.failed() > 0 {
            bail!("{} of {} cases failed", report.failed(), report.ran());
        }
        Ok(())
    }

    fn drivers(&self) -> &[Driver] {
        if self.driver.is_empty() { Driver::ALL } else { &self.driver }
    }

    fn selected(&self) -> Result<Vec<&'static Case>> {
        for name in &self.case {
            if !CASES.iter().copied().flatten().any(|case| case.name.starts_with(name)) {
                bail!("no case is named {name}: see `cargo xtask interop --list`");
            }
        }
        let is_selected = |case: &&Case| {
            self.case.is_empty() || self.case.iter().any(|name| case.name.starts_with(name))
        };
        Ok(CASES.iter().copied().flatten().filter(is_selected).collect())
    }

    /// Slow cases run beside the others, each with a kernel of its own; the others share one.
    fn run_cases(&self, image: &Image, cases: &[&'static Case]) -> Report {
        let drivers = self.drivers();
        let mut report = Report::default();
        // Asking for a slow case by its whole name is asking for it to run.
        let wanted = |case: &&&Case| {
            !case.slow || self.slow || self.case.iter().any(|name| name == case.name)
        };
        std::thread::scope(|scope| {
            let slow: Vec<_> = cases
                .iter()
                .filter(|case| case.slow && drivers.contains(&Driver::Engine))
                .filter(wanted)
                .map(|&case| {
                    println!("{:<42} runs for minutes, beside the others", case.name);
                    (case, scope.spawn(|| self.run_alone(image, case)))
                })
                .collect();
            let mut scene = None;
            for &driver in drivers {
                let is_shared = |case: &&&Case| !case.slow && case.runs_with(driver);
                for case in cases.iter().filter(is_shared) {
                    let outcome = self.run_shared(image, case, driver, &mut scene);
                    report.add(&named(case, driver), outcome);
                }
            }
            for (case, running) in slow {
                let outcome = running.join().unwrap_or_else(|_| Outcome::panicked());
                report.add(case.name, outcome);
            }
        });
        for &driver in drivers {
            for case in cases {
                if let Some((except, why)) = case.except
                    && except.contains(&driver)
                {
                    println!("{:<52} not asked for: {why}", named(case, driver));
                }
            }
        }
        for case in cases.iter().filter(|case| !wanted(case)) {
            report.add(case.name, Outcome::Skipped { why: "needs --slow".into() });
        }
        report
    }

    fn run_alone(&self, image: &Image, case: &Case) -> Outcome {
        let start = Instant::now();
        let outcome = Scene::new(image, case.name, self.pcap.as_deref())
            .and_then(|mut scene| scene.diagnosed(case.run));
        Outcome::of(outcome, start.elapsed())
    }

    /// Runs a case on the kernel that the cases before left, unless one of them failed.
    fn run_shared(
        &self,
        image: &Image,
        case: &Case,
        driver: Driver,
        shared: &mut Option<Scene>,
    ) -> Outcome {
        let start = Instant::now();
        let spinner = ProgressBar::new_spinner().with_message(named(case, driver));
        spinner.enable_steady_tick(Duration::from_millis(200));
        let scene = match shared.take() {
            Some(scene) => Ok(scene),
            None => Scene::new(image, "shared", self.pcap.as_deref()),
        };
        let outcome = scene.and_then(|mut scene| {
            scene.driver = driver;
            scene.diagnosed(case.run)?;
            *shared = Some(scene);
            Ok(())
        });
        spinner.finish_and_clear();
        Outcome::of(outcome, start.elapsed())
    }
}

/// A case's name, and which driver it runs with, where that is not the engine.
fn named(case: &Case, driver: Driver) -> String {
    match driver {
        Driver::Engine => case.name.to_owned(),
        Driver::Blocking => format!("{}, blocking", case.name),
        Driver::Async => format!("{}, async", case.name),
        Driver::EspIdf => format!("{}, esp-idf", case.name),
        Driver::C => format!("{}, c", case.name),
    }
}
