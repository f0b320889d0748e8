//! The emulator's process, and commands run inside.

use core::time::Duration;
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::Image;
use crate::lan::Cable;
use crate::workspace::{tail, target_dir};

/// The guest's Ethernet address.
pub(crate) const GUEST_MAC: [u8; 6] = [0x52, 0x54, 0x00, 0x00, 0x00, 0x01];

/// The kernel boots in under 3 s on two idle cores without hardware virtualisation.
const BOOT_LIMIT: Duration = Duration::from_secs(120);

/// A running Linux kernel. Dropping it ends the emulator.
pub(crate) struct Guest {
    emulator: Child,
    channel: UnixStream,
    /// Bytes of answers that are not whole yet.
    incoming: Vec<u8>,
    answers: HashMap<CommandId, Finished>,
    last: u64,
    /// What the kernel prints.
    log: PathBuf,
}

/// A command under way in the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CommandId(u64);

/// What a command left.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Guest {
    /// Boots the kernel with its network card on `cable`, and waits for its shell. Its log
    /// is kept under `name`.
    pub(crate) fn boot(image: &Image, cable: &Cable, name: &str) -> Result<Self> {
        Self::boot_on(image, &cable.netdev(), cable.dir(), name)
    }

    /// The same with its network card on another option of the emulator's, which is named
    /// `cable`; its shell's socket is in `dir`.
    pub(crate) fn boot_on(image: &Image, netdev: &str, dir: &Path, name: &str) -> Result<Self> {
        let channel_path = dir.join("channel");
        let listener = UnixListener::bind(&channel_path)?;
        let log = target_dir().join("interop").join(format!("kernel-{name}.log"));
        let mut emulator = Command::new("qemu-system-x86_64")
            .args(["-nodefaults", "-no-user-config", "-no-reboot"])
            .args(["-display", "none", "-M", "q35", "-accel", "tcg", "-cpu", "max", "-m", "256"])
            .arg("-kernel")
            .arg(&image.kernel)
            .arg("-initrd")
            .arg(&image.initramfs)
            // No waiting for hardware that is not there; a crash ends the emulator.
            .args([
                "-append",
                "console=ttyS0 quiet loglevel=7 panic=-1 tsc=reliable no_timer_check",
            ])
            .args(["-serial", &format!("file:{}", log.display())])
            .args(["-device", "virtio-serial-pci"])
            .args(["-chardev", &format!("socket,id=channel,path={}", channel_path.display())])
            .args(["-device", "virtserialport,chardev=channel"])
            .args(["-netdev", netdev])
            .args([
                "-device",
                &format!("virtio-net-pci,netdev=cable,mac={},romfile=", mac(GUEST_MAC)),
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(log.with_extension("qemu"))?)
            .spawn()
            .context("cannot run qemu-system-x86_64")?;
        let channel = match accept(&listener, &mut emulator) {
            Ok(channel) => channel,
            Err(error) => {
                // Gone already, or about to be: nothing waits for it.
                let _ = emulator.kill();
                let _ = emulator.wait();
                let said = std::fs::read_to_string(log.with_extension("qemu")).unwrap_or_default();
                return Err(error.context(format!("the emulator said: {said}")));
            }
        };
        channel.set_nonblocking(true)?;
        let mut guest =
            Self { emulator, channel, incoming: Vec::new(), answers: HashMap::new(), last: 0, log };
        // The shell's greeting is an answer to a command that nobody sent.
        guest.wait(CommandId(0), BOOT_LIMIT).context("the kernel does not come up")?;
        Ok(guest)
    }

    /// Starts a shell script. Several may run at once.
    pub(crate) fn start(&mut self, script: &str) -> Result<CommandId> {
        self.last += 1;
        let line = format!("{} {}\n", self.last, BASE64.encode(script));
        self.channel.set_nonblocking(false)?;
        self.channel.write_all(line.as_bytes())?;
        self.channel.set_nonblocking(true)?;
        Ok(CommandId(self.last))
    }

    /// What a started script left, once it has ended. Never blocks; given once.
    pub(crate) fn finished(&mut self, id: CommandId) -> Result<Option<Finished>> {
        self.take_answers()?;
        Ok(self.answers.remove(&id))
    }

    /// Takes in what the guest has answered so far.
    pub(crate) fn take_answers(&mut self) -> Result<()> {
        let mut chunk = [0; 16 * 1024];
        loop {
            match self.channel.read(&mut chunk) {
                Ok(0) => bail!("the emulator ended; {}", self.last_words()),
                Ok(length) => self.incoming.extend_from_slice(&chunk[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        while let Some((id, answer)) = self.take_answer()? {
            self.answers.insert(id, answer);
        }
        Ok(())
    }

    /// Runs a script to its end, which must be a success, and returns what it printed. The
    /// cable is not looked at meanwhile: for commands that need no answer from it.
    pub(crate) fn run(&mut self, script: &str) -> Result<String> {
        let id = self.start(script)?;
        self.wait(id, Duration::from_secs(20))?.success(script)
    }

    fn wait(&mut self, id: CommandId, limit: Duration) -> Result<Finished> {
        let start = Instant::now();
        loop {
            if let Some(finished) = self.finished(id)? {
                return Ok(finished);
            }
            if start.elapsed() > limit {
                bail!("no answer from the guest within {limit:?}; {}", self.last_words());
            }
            let mut ready =
                [rustix::event::PollFd::new(&self.channel, rustix::event::PollFlags::IN)];
            let pause = rustix::event::Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
            rustix::event::poll(&mut ready, Some(&pause))?;
        }
    }

    /// Takes one whole answer off the front of what has come.
    fn take_answer(&mut self) -> Result<Option<(CommandId, Finished)>> {
        let Some(end) = self.incoming.iter().position(|&byte| byte == b'\n') else {
            return Ok(None);
        };
        let head = String::from_utf8_lossy(&self.incoming[..end]).into_owned();
        let numbers: Vec<u64> = head.split(' ').filter_map(|word| word.parse().ok()).collect();
        let [id, status, out, err] = numbers[..] else {
            bail!("the guest answered with {head:?}; {}", self.last_words());
        };
        let (out, err) = (usize::try_from(out)?, usize::try_from(err)?);
        let whole = end + 1 + out + err;
        if self.incoming.len() < whole {
            return Ok(None);
        }
        let answer: Vec<u8> = self.incoming.drain(..whole).collect();
        let (stdout, stderr) = answer[end + 1..].split_at(out);
        let finished = Finished {
            status: i32::try_from(status)?,
            stdout: String::from_utf8_lossy(stdout).into_owned(),
            stderr: String::from_utf8_lossy(stderr).into_owned(),
        };
        Ok(Some((CommandId(id), finished)))
    }

    /// The end of the kernel's log, for an error's text.
    fn last_words(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        format!(
            "its log ({}) ends with:\n{}",
            self.log.display(),
            tail(&String::from_utf8_lossy(&log), 15)
        )
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // The emulator may have ended by itself; either way it leaves no process behind.
        let _ = self.emulator.kill();
        let _ = self.emulator.wait();
    }
}

impl AsFd for Guest {
    /// Readable when an answer comes.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}

impl Finished {
    /// What the script printed, or its complaint as the error.
    pub(crate) fn success(self, script: &str) -> Result<String> {
        if self.status != 0 {
            bail!(
                "in the guest, `{}` failed with status {}:\n{}{}",
                script.trim(),
                self.status,
                self.stdout,
                self.stderr
            );
        }
        Ok(self.stdout)
    }
}

/// Waits for the emulator to connect; it may also end at once, over a bad option.
fn accept(listener: &UnixListener, emulator: &mut Child) -> Result<UnixStream> {
    listener.set_nonblocking(true)?;
    let start = Instant::now();
    loop {
        match listener.accept() {
            Ok((channel, _)) => return Ok(channel),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        if let Some(status) = emulator.try_wait()? {
            bail!("the emulator ended at once ({status})");
        }
        if start.elapsed() > BOOT_LIMIT {
            bail!("the emulator does not start");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn mac(address: [u8; 6]) -> String {
    address.map(|byte| format!("{byte:02x}")).join(":")
}
