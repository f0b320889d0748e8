//! The page in a browser: a headless Chromium, led into the tunnel by the gateway's relay.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The example, running. Dropping it ends it.
struct Example {
    child: Child,
    url: String,
}

impl Example {
    /// Runs it until it says where its page is.
    fn start() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_status-page"));
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut example = Self { child, url: String::new() };
        let lines = BufReader::new(example.child.stdout.take().unwrap()).lines();
        let mut said = lines.map(Result::unwrap);
        let line = said.find(|line| line.contains("http://")).expect("the example ended");
        example.url = line.split(' ').find(|word| word.starts_with("http")).unwrap().to_owned();
        example
    }

    /// Closes its input, as Enter does, and waits for its end.
    fn end(mut self) -> bool {
        drop(self.child.stdin.take());
        self.child.wait().unwrap().success()
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn chromium(profile: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("chromium");
    command.args(["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]);
    command.args(["--no-first-run", "--disable-background-networking"]);
    command.arg(format!("--user-data-dir={}", profile.display())).args(arguments);
    let output = command.output().expect("cannot run chromium: install the package `chromium`");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "chromium failed: {said}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_browser_shows_peers_traffic_and_refusals() {
    let example = Example::start();
    let profile = tempfile::tempdir().unwrap();
    let document = chromium(profile.path(), &["--dump-dom", &example.url]);
    for expected in [
        "connected",
        "session",
        "last handshake",
        "bytes",
        ">3</td><td>not a WireGuard message",
        ">1</td><td>mac1 does not match: the sender has another public key for us",
        "packets made room for newer ones",
    ] {
        assert!(document.contains(expected), "no `{expected}` in {document}");
    }

    // For a person to look at. That something was drawn is all that a program can tell.
    let picture = Path::new(env!("CARGO_TARGET_TMPDIR")).join("status-page.png");
    let _ = std::fs::remove_file(&picture);
    let screenshot = format!("--screenshot={}", picture.display());
    chromium(profile.path(), &["--window-size=800,1000", &screenshot, &example.url]);
    let bytes = std::fs::read(&picture).unwrap();
    assert!(bytes.starts_with(b"\x89PNG") && bytes.len() > 10_000, "{} bytes", bytes.len());
    println!("the page looks so: {}", picture.display());

    assert!(example.end());
}
