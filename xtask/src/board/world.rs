//! A board and a Linux kernel on one Ethernet, driven together.

use core::fmt;
use core::net::IpAddr;
use core::time::Duration;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use wg_core::PrivateKey;

use super::{Board, Firmware, Flash};
use crate::interop::{KERNEL_INNER, OUR_INNER, Tunnel};
use crate::kernel::{CommandId, Guest, Image};
use crate::lan::{Cable, Pcap, Port, Switch};

/// The kernel's end: WireGuard, and an HTTP server that keeps what is posted to it.
const SERVER: &str = "\
mkdir -p /tmp/www/cgi-bin
: > /tmp/posts
cat > /tmp/www/cgi-bin/uptime <<'END'
#!/bin/sh
head -c \"$CONTENT_LENGTH\" >> /tmp/posts
printf 'Content-Type: text/plain\\r\\n\\r\\n'
END
chmod +x /tmp/www/cgi-bin/uptime
netstat -tln | grep -q ':80 ' || httpd -h /tmp/www -p 80
";

/// A board, a kernel, and the switch between them.
pub(crate) struct World {
    guest: Guest,
    pub(crate) switch: Switch,
    pub(crate) board_port: Port,
    board: Option<Board>,
    flash: Option<Flash>,
    name: String,
    /// Prints the console as it comes.
    pub(crate) echo: bool,
}

/// Something that the board has printed, past a place in its console.
#[derive(Clone, Copy)]
pub(crate) struct Told(usize);

/// What the board, its port and the kernel have counted since the tunnel was set up; the default
/// is that very moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Status {
    /// Frames that the board's emulator was given, and those that the board has seen.
    handed: u32,
    frames: u32,
    /// Bytes that the board's engine has heard of the kernel, and sent to it.
    heard_bytes: u64,
    sent_bytes: u64,
    overrun: u32,
    displaced: u32,
    unsent: u32,
    /// The same bytes, as the kernel has counted them.
    kernel_sent_bytes: u64,
    kernel_heard_bytes: u64,
}

/// Where packets and datagrams were lost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dropped {
    /// Bytes of datagrams on the way between the two engines, either way, since the tunnel was
    /// set up. The next two tell where; the rest the switch lost, or the board's socket had no
    /// room for. May be a few too many: the board counts first, and then the kernel.
    missing_bytes: u64,
    /// Frames that the board's card had no room for. May be a few too many: those that it had
    /// not yet seen.
    at_card: u32,
    /// Datagrams that the stack outside the tunnel did not take.
    unsent: u32,
    /// Packets for which the stack in the tunnel was not fast enough.
    overrun: u32,
    /// Packets whose room a newer one needed.
    displaced: u32,
}

/// A datagram with an echo of 56 bytes: an IPv4 packet of 84, padded.
const ECHO: u64 = 32 + 96;

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} bytes missing ({} frames at the card, {} unsent), {} overrun, {} displaced",
            self.missing_bytes, self.at_card, self.unsent, self.overrun, self.displaced
        )
    }
}

impl Dropped {
    /// How many echoes that explains at most.
    pub(crate) fn echoes(&self) -> u64 {
        self.missing_bytes.div_ceil(ECHO) + u64::from(self.overrun) + u64::from(self.displaced)
    }
}

impl Status {
    /// From a board's line.
    fn parse(line: &str) -> Result<Self> {
        let count = |name: &str| -> Result<u32> {
            let mut fields = line.split(", ");
            let said = fields.find_map(|field| field.strip_prefix(name)?.trim().parse().ok());
            said.with_context(|| format!("no {name} in {line:?}"))
        };
        Ok(Self {
            frames: count("frames")?,
            heard_bytes: count("in")?.into(),
            sent_bytes: count("out")?.into(),
            overrun: count("overrun")?,
            displaced: count("displaced")?,
            unsent: count("unsent")?,
            ..Self::default()
        })
    }
}

impl World {
    /// Boots the kernel; there is no board yet.
    pub(crate) fn new(image: &Image, name: &str, pcap: Option<&Path>) -> Result<Self> {
        let pcap = pcap.map(|dir| Pcap::create(&dir.join(format!("{name}.pcap")))).transpose()?;
        let mut switch = Switch::new(pcap);
        let cable = Cable::new()?;
        let guest = Guest::boot(image, &cable, name)?;
        switch.plug_in(cable);
        let board_port = switch.plug_in(Cable::new()?);
        let name = name.to_owned();
        Ok(Self { guest, switch, board_port, board: None, flash: None, name, echo: false })
    }

    /// Sets the kernel's end up, and gives a board with an empty flash power.
    pub(crate) fn set_up(&mut self, firmware: &Firmware, tunnel: &Tunnel) -> Result<()> {
        self.set_up_kernel(tunnel)?;
        self.guest.run(SERVER)?;
        let config = config(&tunnel.our_key, tunnel);
        self.flash = Some(Flash::new(firmware.kind, &self.name, &config)?);
        self.power_on(firmware)
    }

    /// Makes the kernel's end anew, with no memory of sessions.
    pub(crate) fn set_up_kernel(&mut self, tunnel: &Tunnel) -> Result<()> {
        self.guest.run(&tunnel.kernel_script()).map(drop)
    }

    /// Tells the board, through the tunnel, to take another address on the Ethernet.
    pub(crate) fn move_board(&mut self, address: IpAddr) -> Result<()> {
        // Not waited for: what answers it comes from there.
        let script = format!("echo {address} | nc {} 7 >/dev/null 2>&1 &", OUR_INNER[0]);
        self.run(&script).map(drop)
    }

    /// What has been counted by the board's next status.
    pub(crate) fn status(&mut self) -> Result<Status> {
        let start = self.told();
        let line = self.until_told(start, "status:", Duration::from_secs(60))?;
        let handed = self.switch.handed(self.board_port);
        let transfer = self.run("wg show wg0 transfer")?;
        let mut bytes = transfer.split_whitespace().skip(1).map(str::parse);
        let (Some(Ok(kernel_heard_bytes)), Some(Ok(kernel_sent_bytes))) =
            (bytes.next(), bytes.next())
        else {
            bail!("`wg show wg0 transfer` says {transfer:?}");
        };
        let board = Status::parse(&line)?;
        Ok(Status { handed, kernel_heard_bytes, kernel_sent_bytes, ..board })
    }

    /// What was lost since a status. To be asked when it is quiet: what is on its way counts as
    /// lost.
    pub(crate) fn dropped_since(&mut self, old: &Status) -> Result<Dropped> {
        let new = self.status()?;
        let to_board = new.kernel_sent_bytes.saturating_sub(new.heard_bytes);
        let to_kernel = new.sent_bytes.saturating_sub(new.kernel_heard_bytes);
        Ok(Dropped {
            missing_bytes: to_board + to_kernel,
            at_card: (new.handed - old.handed).saturating_sub(new.frames - old.frames),
            unsent: new.unsent - old.unsent,
            overrun: new.overrun - old.overrun,
            displaced: new.displaced - old.displaced,
        })
    }

    /// Gives the board power, with the flash that it had.
    pub(crate) fn power_on(&mut self, firmware: &Firmware) -> Result<()> {
        self.board = None;
        self.switch.replace(self.board_port, Cable::new()?);
        let flash = self.flash.as_ref().context("the board was set up")?;
        let cable = self.switch.cable(self.board_port);
        self.board = Some(Board::start(firmware, flash, cable, &self.name)?);
        Ok(())
    }

    /// Cuts the board's power.
    pub(crate) fn power_off(&mut self) {
        self.board = None;
    }

    /// Where the board's console ends now.
    pub(crate) fn told(&self) -> Told {
        Told(self.lines().len())
    }

    /// What the board has printed after a place in its console.
    pub(crate) fn since(&self, told: Told) -> &[String] {
        self.lines().get(told.0..).unwrap_or_default()
    }

    /// Everything since power came.
    pub(crate) fn lines(&self) -> &[String] {
        self.board.as_ref().map_or(&[], Board::lines)
    }

    /// Runs a shell script in the guest to its success while frames move.
    pub(crate) fn run(&mut self, script: &str) -> Result<String> {
        let id = self.start(script)?;
        self.join(id, Duration::from_secs(60))
    }

    /// Starts a shell script in the guest; give the answer to [`Self::join`].
    pub(crate) fn start(&mut self, script: &str) -> Result<CommandId> {
        self.guest.start(script)
    }

    /// Waits for a started script while frames move.
    pub(crate) fn join(&mut self, id: CommandId, limit: Duration) -> Result<String> {
        let mut finished = None;
        self.until("the script's end", limit, |world| {
            finished = world.guest.finished(id)?;
            Ok(finished.is_some())
        })?;
        finished.context("the script ended")?.success("the script")
    }

    /// Waits until the board prints a line with `words` in it, after `told`.
    pub(crate) fn until_told(
        &mut self,
        told: Told,
        words: &str,
        limit: Duration,
    ) -> Result<String> {
        let mut line = None;
        self.until(&format!("the board says {words:?}"), limit, |world| {
            line = world.since(told).iter().find(|line| line.contains(words)).cloned();
            Ok(line.is_some())
        })?;
        line.context("it was said")
    }

    /// Lets frames move until `done`, which is an error after `limit`.
    pub(crate) fn until(
        &mut self,
        what: &str,
        limit: Duration,
        mut done: impl FnMut(&mut Self) -> Result<bool>,
    ) -> Result<()> {
        let end = Instant::now() + limit;
        loop {
            self.work()?;
            if done(self)? {
                return Ok(());
            }
            let words = || self.board.as_ref().map(Board::last_words).unwrap_or_default();
            ensure!(Instant::now() < end, "not within {limit:?}: {what}; {}", words());
        }
    }

    /// Lets frames move for some time.
    pub(crate) fn pass(&mut self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.work()?;
        }
        Ok(())
    }

    /// How often the board has posted, by the kernel's account.
    pub(crate) fn posts(&mut self) -> Result<usize> {
        Ok(self.run("wc -l < /tmp/posts")?.trim().parse()?)
    }

    /// Moves what there is to move, and waits a little for more.
    pub(crate) fn work(&mut self) -> Result<()> {
        self.switch.work()?;
        self.guest.take_answers()?;
        if let Some(board) = &mut self.board {
            let new = board.listen()?;
            if self.echo {
                let lines = board.lines();
                lines[lines.len() - new..].iter().for_each(|line| println!("board    {line}"));
            }
        }
        let pause = Duration::from_millis(5);
        match &self.board {
            Some(board) => self.switch.wait(&[self.guest.as_fd(), board.as_fd()], pause),
            None => self.switch.wait(&[self.guest.as_fd()], pause),
        }
    }
}

/// What stands in the board's flash.
fn config(key: &PrivateKey, tunnel: &Tunnel) -> String {
    let endpoint = if tunnel.we_know_the_kernels {
        format!("Endpoint = {}\n", tunnel.kernel_endpoint())
    } else {
        String::new()
    };
    format!(
        "[Interface]\nPrivateKey = {}\nAddress = {}/24\nListenPort = {}\n\n\
         [Peer]\nPublicKey = {}\nAllowedIPs = {}/32\n{endpoint}",
        key.expose_base64().as_str(),
        OUR_INNER[0],
        crate::interop::OUR_PORT,
        tunnel.kernel_key_at_ours,
        KERNEL_INNER[0],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_understood() {
        let line = "status: stack 9468 of 65536, in 1, out 2, UnknownPeer 4, frames 99, \
            overrun 1, displaced 0, unsent 935";
        let status = Status::parse(line).expect("a status");
        assert_eq!((status.frames, status.heard_bytes, status.sent_bytes), (99, 1, 2));
        assert_eq!((status.overrun, status.displaced, status.unsent), (1, 0, 935));
        assert!(Status::parse("status: stack 9468 of 65536").is_err());
    }
}
