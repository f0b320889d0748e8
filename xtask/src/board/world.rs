//! A board and a Linux kernel on one Ethernet, driven together.

use core::net::IpAddr;
use core::time::Duration;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use wg_core::PrivateKey;

use super::{Board, Firmware, Flash};
use crate::interop::{KERNEL_INNER, OUR_INNER, Tunnel};
use crate::kernel::{CommandId, Guest, Image};
use crate::lan::{Cable, Carried, Pcap, Port, Switch};

/// The kernel's end: WireGuard, and an HTTP server that keeps what is posted to it, and may
/// answer with an address.
const SERVER: &str = "\
mkdir -p /tmp/www/cgi-bin
: > /tmp/posts
: > /tmp/address
cat > /tmp/www/cgi-bin/uptime <<'END'
#!/bin/sh
head -c \"$CONTENT_LENGTH\" >> /tmp/posts
printf 'Content-Type: text/plain\\r\\nContent-Length: %d\\r\\n\\r\\n' $(wc -c < /tmp/address)
cat /tmp/address
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

/// What the board and its port have counted so far: see [`World::dropped_since`].
pub(crate) struct Status {
    line: String,
    handed: u32,
}

/// Where packets and datagrams were lost on their way through the board.
#[derive(Debug)]
pub(crate) struct Dropped {
    /// Its card had no room for them. May be a few too many: those that it had not yet seen.
    at_card: u32,
    /// Its emulator took no more, or the kernel's did not.
    at_switch: u32,
    /// The stack in the tunnel was not fast enough.
    overrun: u32,
    /// A newer packet needed the room.
    displaced: u32,
    /// The stack outside the tunnel did not take them.
    unsent: u32,
}

impl Dropped {
    pub(crate) fn total(&self) -> u32 {
        self.at_card + self.at_switch + self.overrun + self.displaced + self.unsent
    }
}

impl Status {
    /// A number by its name in the status.
    fn count(&self, name: &str) -> Result<u32> {
        let fields = self.line.split(", ");
        let count = fields.filter_map(|field| field.strip_prefix(name)?.trim().parse().ok()).next();
        count.with_context(|| format!("no {name} in {:?}", self.line))
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

    /// Lets the board have another address on the Ethernet, from its next post on.
    pub(crate) fn move_board(&mut self, address: IpAddr) -> Result<()> {
        self.guest.run(&format!("echo {address} > /tmp/address")).map(drop)
    }

    /// What has been counted by the board's next status.
    pub(crate) fn status(&mut self) -> Result<Status> {
        let start = self.told();
        let line = self.until_told(start, "status:", Duration::from_secs(60))?;
        Ok(Status { line, handed: self.switch.handed(self.board_port) })
    }

    /// What was lost since a status. To be asked when it is quiet, and after
    /// [`Switch::take_carried`] at the status.
    pub(crate) fn dropped_since(&mut self, before: &Status) -> Result<Dropped> {
        let after = self.status()?;
        let Carried { overrun: at_switch, .. } = self.switch.take_carried();
        let more = |name| Ok::<u32, anyhow::Error>(after.count(name)? - before.count(name)?);
        Ok(Dropped {
            at_card: (after.handed - before.handed).saturating_sub(more("frames")?),
            at_switch,
            overrun: more("overrun")?,
            displaced: more("displaced")?,
            unsent: more("unsent")?,
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
