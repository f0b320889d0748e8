//! wg-c's interface of lwIP, in a program of its own that is asked and answers by pipes.
//!
//! The program has a real lwIP with an interface to the wire, whose frames come and go here, and the
//! tunnel as another. The host inside stays ours.

use core::cell::RefCell;
use core::net::{IpAddr, SocketAddr};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};
use wg_core::{Connection, Instant, PresharedKey, Refusal};

use super::{Drive, FileClock, PeerConfig, Seen, SinceStart, Underlay};
use crate::interop::{MTU, OUR_INNER};
use crate::lan::{Datagram, Inner, emit, parse};
use crate::lwip;

pub(super) struct C {
    program: RefCell<Program>,
    /// Where our datagrams leave from, and the port that the program has for that.
    local: SocketAddr,
    port: u16,
    /// What the program's clock is ahead of ours, in microseconds.
    ahead: u64,
}

struct Program {
    process: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// What a program answers.
enum Answer {
    Frame(Vec<u8>),
    Packet(Vec<u8>),
    Status(String),
}

impl Program {
    /// Asks, and takes all answers.
    fn ask(&mut self, kind: u8, about: &[u8]) -> Result<Vec<Answer>> {
        let [low, high] = u16::try_from(about.len())?.to_le_bytes();
        self.questions.write_all(&[kind, low, high])?;
        self.questions.write_all(about)?;
        self.questions.flush()?;
        let mut all = Vec::new();
        loop {
            let mut head = [0; 3];
            self.answers.read_exact(&mut head).context("the program in C has ended")?;
            let mut bytes = vec![0; u16::from_le_bytes([head[1], head[2]]).into()];
            self.answers.read_exact(&mut bytes)?;
            all.push(match head[0] {
                b'F' => Answer::Frame(bytes),
                b'P' => Answer::Packet(bytes),
                b'S' => Answer::Status(String::from_utf8(bytes)?),
                b'.' => return Ok(all),
                other => bail!("the program in C answers {other}"),
            });
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It ends by itself when nobody asks any more; either way it leaves no process behind.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl C {
    pub(super) fn new(config: &PeerConfig, clock: &FileClock, time: &SinceStart) -> Result<Self> {
        let mut command = Command::new(lwip::interop_program()?);
        command.arg(clock.behind.as_secs().to_string());
        if let Some(file) = &clock.file {
            command.arg(file.with_extension("record"));
        }
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let questions = process.stdin.take().context("a pipe")?;
        let answers = BufReader::new(process.stdout.take().context("a pipe")?);
        let mut program = Program { process, questions, answers };
        for address in crate::interop::OUR_OUTER.iter().chain([&config.local.ip()]) {
            program.ask(b'a', address.to_string().as_bytes())?;
        }
        program.ask(b'c', text(config)?.as_bytes())?;
        let (program, port) = (RefCell::new(program), config.local.port());
        let mut new = Self { program, local: config.local, port, ahead: 0 };
        let now: u64 = new.said().get("now").context("the program's time")?.parse()?;
        new.ahead = now.saturating_sub(time.now().as_micros());
        Ok(new)
    }

    /// Asks, sends what the program sends, and hands over what came out of the tunnel.
    fn ask(
        &mut self,
        kind: u8,
        about: &[u8],
        underlay: &mut dyn Underlay,
        inner: &mut Inner,
    ) -> Result<()> {
        for answer in self.program.get_mut().ask(kind, about)? {
            match answer {
                Answer::Frame(frame) => {
                    let mut datagram = parse(&frame).context("the program sends a datagram")?;
                    datagram.from.set_port(self.local.port());
                    underlay.send(&datagram)?;
                }
                Answer::Packet(packet) => inner.deliver(&packet),
                Answer::Status(_) => {}
            }
        }
        Ok(())
    }

    /// Tells the program something that is followed by the next step.
    fn tell(&mut self, kind: u8, about: &str) {
        self.program.get_mut().ask(kind, about.as_bytes()).expect("the program in C runs");
    }

    /// What the program says of the tunnel, by name.
    fn said(&self) -> HashMap<String, String> {
        let answers = self.program.borrow_mut().ask(b's', &[]).expect("the program in C runs");
        let mut said = HashMap::new();
        for answer in answers {
            let Answer::Status(text) = answer else { continue };
            let lines = text.lines().filter_map(|line| line.split_once(' '));
            said.extend(lines.map(|(name, value)| (name.to_owned(), value.to_owned())));
        }
        said
    }
}

impl Drive for C {
    fn step(
        &mut self,
        underlay: &mut dyn Underlay,
        inner: &mut Inner,
        local: SocketAddr,
    ) -> Result<()> {
        if local != self.local {
            self.local = local;
            self.ask(b'a', local.ip().to_string().as_bytes(), underlay, inner)?;
        }
        self.ask(b't', &[], underlay, inner)?;
        while let Some(datagram) = underlay.receive()? {
            // What came for a port that we have left is nothing of ours.
            if datagram.to.port() != self.local.port() {
                continue;
            }
            let to = SocketAddr::new(datagram.to.ip(), self.port);
            let frame = emit(&Datagram { to, ..datagram })?;
            self.ask(b'f', &frame, underlay, inner)?;
        }
        inner.poll();
        while let Some(packet) = inner.next_packet() {
            self.ask(b'p', &packet, underlay, inner)?;
        }
        Ok(())
    }

    /// The program keeps its own deadlines; it is looked after as often as the case is.
    fn deadline(&mut self) -> Option<Instant> {
        None
    }

    fn set_endpoint(&mut self, remote: SocketAddr) {
        self.tell(b'e', &format!("{} {}", remote.ip(), remote.port()));
    }

    fn set_persistent_keepalive(&mut self, seconds: u16) {
        self.tell(b'k', &seconds.to_string());
    }

    fn declare_load(&mut self) -> Result<()> {
        bail!("wg-c leaves it to the engine when it is under load")
    }

    fn status(&self) -> Seen {
        let said = self.said();
        let number = |name: &str| said.get(name).and_then(|value| value.parse().ok());
        let address = said.get("address").and_then(|address| address.parse::<IpAddr>().ok());
        let port = number("port").and_then(|port| u16::try_from(port).ok());
        Seen {
            connection: match said.get("connection").map(String::as_str) {
                Some("WG_OK") => Connection::Up,
                Some("WG_HANDSHAKING") => Connection::Handshaking,
                Some(code) => named(code).map_or(Connection::Idle, Connection::Blocked),
                None => Connection::Idle,
            },
            endpoint: address.zip(port).map(|(address, port)| SocketAddr::new(address, port)),
            received_bytes: number("received").unwrap_or_default(),
            sent_bytes: number("sent").unwrap_or_default(),
            last_handshake: number("handshake")
                .map(|at: u64| Instant::from_micros(at.saturating_sub(self.ahead))),
        }
    }

    fn refusals(&self) -> Vec<(Refusal, u32)> {
        let counted = |(code, count): (&String, &String)| Some((named(code)?, count.parse().ok()?));
        self.said().iter().filter_map(counted).collect()
    }
}

/// The refusal whose name in C is `WG_REFUSED_STALE_TIMESTAMP` or the like.
fn named(code: &str) -> Option<Refusal> {
    let name = code.strip_prefix("WG_REFUSED_")?.replace('_', "");
    Refusal::ALL.iter().copied().find(|refusal| refusal.name().eq_ignore_ascii_case(&name))
}

/// The tunnel as a wg-quick text.
fn text(config: &PeerConfig) -> Result<String> {
    let mut text =
        format!("[Interface]\nPrivateKey = {}\n", config.private_key.expose_base64().as_str());
    for address in OUR_INNER {
        writeln!(text, "Address = {address}")?;
    }
    writeln!(text, "ListenPort = {}\nMTU = {MTU}", config.local.port())?;
    writeln!(text, "[Peer]\nPublicKey = {}", config.their_key)?;
    if config.preshared_key != PresharedKey::NONE {
        writeln!(text, "PresharedKey = {}", config.preshared_key.expose_base64().as_str())?;
    }
    for address in &config.allowed_ips {
        writeln!(text, "AllowedIPs = {address}")?;
    }
    if let Some(remote) = config.remote {
        writeln!(text, "Endpoint = {remote}")?;
    }
    Ok(text)
}
