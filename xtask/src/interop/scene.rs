//! A kernel, a wire and our end of a tunnel, driven together.

use core::fmt::Write as _;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use getrandom::{SysRng, rand_core::UnwrapErr};
use wg_core::{PresharedKey, PrivateKey, PublicKey};

use crate::kernel::{Guest, Image};
use crate::lan::{Cable, Inner, Pcap, Wire};
use crate::peer::{Driver, FileClock, Peer, PeerConfig, Underlay};
use crate::workspace::tail;

/// Inside the tunnel.
pub(crate) const KERNEL_INNER: [IpAddr; 2] = addresses(9, 1);
pub(crate) const OUR_INNER: [IpAddr; 2] = addresses(9, 2);
/// On the wire, and where each side moves when it roams.
pub(crate) const KERNEL_OUTER: [IpAddr; 2] = addresses(77, 1);
pub(crate) const OUR_OUTER: [IpAddr; 2] = addresses(77, 2);
pub(crate) const KERNEL_ELSEWHERE: [IpAddr; 2] = addresses(77, 3);
pub(crate) const OURS_ELSEWHERE: [IpAddr; 2] = addresses(77, 4);
pub(crate) const KERNEL_PORT: u16 = 51820;
pub(crate) const OUR_PORT: u16 = 40000;
pub(crate) const MTU: usize = 1420;

/// Families, as indices of the pairs of addresses.
pub(crate) const V4: usize = 0;
pub(crate) const V6: usize = 1;

/// The `host` of a network in both families: 10.9.0.1 and fd09::1.
const fn addresses(network: u8, host: u8) -> [IpAddr; 2] {
    // 0x09 and 0x77 read the same as the IPv4 network.
    let group = if network == 77 { 0xfd77 } else { 0xfd09 };
    [
        IpAddr::V4(Ipv4Addr::new(10, network, 0, host)),
        IpAddr::V6(Ipv6Addr::new(group, 0, 0, 0, 0, 0, 0, host as u16)),
    ]
}

/// What both ends are told. Keys that do not fit together are some cases' point.
pub(crate) struct Tunnel {
    pub(crate) our_key: PrivateKey,
    pub(crate) kernel_key: PrivateKey,
    /// What each end is told of the other.
    pub(crate) our_key_at_kernel: PublicKey,
    pub(crate) kernel_key_at_ours: PublicKey,
    pub(crate) our_preshared_key: PresharedKey,
    pub(crate) kernel_preshared_key: PresharedKey,
    /// `V4` or `V6`.
    pub(crate) outside: usize,
    pub(crate) kernel_knows_our_endpoint: bool,
    pub(crate) we_know_the_kernels: bool,
}

impl Tunnel {
    /// New keys on both sides, over IPv4, and only we know where to call.
    pub(crate) fn fresh() -> Self {
        let mut rng = UnwrapErr(SysRng);
        let (our_key, kernel_key) =
            (PrivateKey::generate(&mut rng), PrivateKey::generate(&mut rng));
        Self {
            our_key_at_kernel: our_key.public_key(),
            kernel_key_at_ours: kernel_key.public_key(),
            our_key,
            kernel_key,
            our_preshared_key: PresharedKey::NONE,
            kernel_preshared_key: PresharedKey::NONE,
            outside: V4,
            kernel_knows_our_endpoint: false,
            we_know_the_kernels: true,
        }
    }

    /// The same, where only the kernel knows whom to call.
    pub(crate) fn called_by_kernel() -> Self {
        Self { kernel_knows_our_endpoint: true, we_know_the_kernels: false, ..Self::fresh() }
    }

    pub(crate) fn with_preshared_key(self) -> Self {
        let key = PresharedKey::generate(&mut UnwrapErr(SysRng));
        Self { our_preshared_key: key.clone(), kernel_preshared_key: key, ..self }
    }

    fn our_endpoint(&self) -> SocketAddr {
        SocketAddr::new(OUR_OUTER[self.outside], OUR_PORT)
    }

    pub(crate) fn kernel_endpoint(&self) -> SocketAddr {
        SocketAddr::new(KERNEL_OUTER[self.outside], KERNEL_PORT)
    }

    fn our_config(&self) -> PeerConfig {
        PeerConfig {
            private_key: self.our_key.clone(),
            their_key: self.kernel_key_at_ours,
            preshared_key: self.our_preshared_key.clone(),
            local: self.our_endpoint(),
            remote: self.we_know_the_kernels.then(|| self.kernel_endpoint()),
            allowed_ips: KERNEL_INNER.to_vec(),
        }
    }

    /// The shell script that makes the kernel's end anew.
    pub(crate) fn kernel_script(&self) -> String {
        let mut script = String::from("ip link del wg0 2>/dev/null\nset -e\ndmesg -c >/dev/null\n");
        let [ours_v4, ours_v6] = OUR_INNER;
        let mut line = |text: core::fmt::Arguments<'_>| {
            writeln!(script, "{text}").expect("writing to a string never fails");
        };
        line(format_args!("ip addr flush dev eth0"));
        for (address, prefix) in KERNEL_OUTER.iter().zip([24, 64]) {
            line(format_args!("ip addr add {address}/{prefix} dev eth0"));
        }
        line(format_args!("ip link add wg0 type wireguard"));
        line(format_args!("echo {} >/run/key", self.kernel_key.expose_base64().as_str()));
        line(format_args!("echo {} >/run/psk", self.kernel_preshared_key.expose_base64().as_str()));
        line(format_args!("wg set wg0 private-key /run/key listen-port {KERNEL_PORT}"));
        line(format_args!(
            "wg set wg0 peer {} preshared-key /run/psk allowed-ips {ours_v4},{ours_v6}",
            self.our_key_at_kernel
        ));
        if self.kernel_knows_our_endpoint {
            line(format_args!(
                "wg set wg0 peer {} endpoint {}",
                self.our_key_at_kernel,
                self.our_endpoint()
            ));
        }
        for (address, prefix) in KERNEL_INNER.iter().zip([24, 64]) {
            line(format_args!("ip addr add {address}/{prefix} dev wg0"));
        }
        line(format_args!("ip link set mtu {MTU} up dev wg0"));
        script
    }
}

/// What the kernel says of us: a line of `wg show wg0 dump`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct KernelStatus {
    pub(crate) endpoint: Option<SocketAddr>,
    /// Unix seconds; 0 is never.
    pub(crate) latest_handshake: u64,
    pub(crate) received_bytes: u64,
    pub(crate) sent_bytes: u64,
}

/// Everything that a case has to play with.
pub(crate) struct Scene {
    guest: Guest,
    pub(crate) wire: Wire,
    /// What drives our end from the next set-up on.
    pub(crate) driver: Driver,
    /// Our end; absent until a case sets its tunnel up.
    peer: Option<Peer>,
}

impl Scene {
    pub(crate) fn new(image: &Image, name: &str, pcap: Option<&Path>) -> Result<Self> {
        let pcap = pcap.map(|dir| Pcap::create(&dir.join(format!("{name}.pcap")))).transpose()?;
        let cable = Cable::new()?;
        let guest = Guest::boot(image, &cable, name)?;
        let wire = Wire::new(cable, pcap);
        Ok(Self { guest, wire, driver: Driver::Engine, peer: None })
    }

    /// Runs a case; where it fails, the kernel's own words on it join the error.
    pub(crate) fn diagnosed(&mut self, case: fn(&mut Self) -> Result<()>) -> Result<()> {
        case(self).map_err(|error| match self.guest.run("dmesg") {
            Ok(log) => {
                error.context(format!("the kernel's last words:\n{}\nfailed", tail(&log, 12)))
            }
            Err(_) => error,
        })
    }

    /// Makes both ends of a tunnel anew.
    pub(crate) fn set_up(&mut self, tunnel: &Tunnel) -> Result<()> {
        self.set_up_kernel(tunnel)?;
        self.set_up_ours(tunnel, FileClock::wall())
    }

    /// Makes the kernel's end anew, with no memory of sessions.
    pub(crate) fn set_up_kernel(&mut self, tunnel: &Tunnel) -> Result<()> {
        self.guest.run(&tunnel.kernel_script()).map(drop)
    }

    /// Makes our end anew, as after a reboot: no memory of sessions but what `clock` keeps.
    pub(crate) fn set_up_ours(&mut self, tunnel: &Tunnel, clock: FileClock) -> Result<()> {
        self.wire.set_hosts(&[OUR_OUTER, OURS_ELSEWHERE].concat());
        self.wire.set_faults(Default::default());
        self.wire.set_congested(false);
        self.wire.set_lost_type(None);
        // What was on its way to the peer before is none of the new one's.
        while self.wire.receive()?.is_some() {}
        let inner = Inner::new(&OUR_INNER, MTU);
        self.peer = Some(Peer::new(self.driver, &tunnel.our_config(), inner, clock)?);
        Ok(())
    }

    /// Our end of the tunnel.
    pub(crate) fn peer(&mut self) -> &mut Peer {
        self.peer.as_mut().expect("the case has set its tunnel up")
    }

    /// Runs a shell script in the guest to its success while our end works.
    pub(crate) fn run(&mut self, script: &str) -> Result<String> {
        let id = self.start(script)?;
        self.end_of(id, script, Duration::from_secs(60))
    }

    /// Starts a shell script in the guest; give the answer to [`Self::join`].
    pub(crate) fn start(&mut self, script: &str) -> Result<crate::kernel::CommandId> {
        self.guest.start(script)
    }

    /// Waits for a started script while our end works.
    pub(crate) fn join(&mut self, id: crate::kernel::CommandId, limit: Duration) -> Result<String> {
        self.end_of(id, "the script's end", limit)
    }

    fn end_of(
        &mut self,
        id: crate::kernel::CommandId,
        script: &str,
        limit: Duration,
    ) -> Result<String> {
        let mut finished = None;
        self.until(script, limit, |scene| {
            finished = scene.guest.finished(id)?;
            Ok(finished.is_some())
        })?;
        finished.context("the script ended")?.success(script)
    }

    /// Lets our end work until `done`, which is an error after `limit`.
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
            self.wait(end)?;
            ensure!(Instant::now() < end, "not within {limit:?}: {what}");
        }
    }

    /// Lets our end work for some time.
    pub(crate) fn pass(&mut self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.work()?;
            self.wait(end)?;
        }
        Ok(())
    }

    /// Pings the kernel through the tunnel and waits for the echo.
    pub(crate) fn ping(&mut self, family: usize) -> Result<()> {
        let to = KERNEL_INNER[family];
        let sequence = fastrand::u16(..);
        self.peer().inner.ping(to, sequence, 56)?;
        self.until("an echo from the kernel", Duration::from_secs(10), |scene| {
            let echo = scene.peer().inner.next_echo();
            Ok(echo.is_some_and(|echo| echo.from == to && echo.sequence == sequence))
        })
    }

    /// Lets the kernel ping us through the tunnel.
    pub(crate) fn kernel_pings(&mut self, family: usize) -> Result<()> {
        self.run(&format!("ping -c 1 -W 10 {}", OUR_INNER[family])).map(drop)
    }

    /// What the kernel says of us.
    pub(crate) fn kernel_status(&mut self) -> Result<KernelStatus> {
        let dump = self.run("wg show wg0 dump")?;
        let line = dump.lines().nth(1).context("the kernel has no peer")?;
        let fields: Vec<_> = line.split('\t').collect();
        let [_, _, endpoint, _, latest_handshake, received, sent, _] = fields[..] else {
            bail!("`wg show wg0 dump` says {line:?}");
        };
        Ok(KernelStatus {
            endpoint: endpoint.parse().ok(),
            latest_handshake: latest_handshake.parse()?,
            received_bytes: received.parse()?,
            sent_bytes: sent.parse()?,
        })
    }

    /// What the kernel's WireGuard has said since the tunnel was set up.
    pub(crate) fn kernel_log(&mut self) -> Result<String> {
        self.run("dmesg | grep wireguard: || true")
    }

    /// Lets our end work until the kernel has said `words`.
    pub(crate) fn until_kernel_says(&mut self, words: &str) -> Result<()> {
        for _ in 0..30 {
            if self.kernel_log()?.contains(words) {
                return Ok(());
            }
            self.pass(Duration::from_millis(100))?;
        }
        bail!("the kernel does not say {words:?}")
    }

    /// Lets our end do what is due.
    pub(crate) fn work(&mut self) -> Result<()> {
        self.guest.take_answers()?;
        match &mut self.peer {
            Some(peer) => peer.step(&mut self.wire),
            None => Ok(()),
        }
    }

    /// Waits for a frame, an answer, a deadline or `end`.
    pub(crate) fn wait(&mut self, end: Instant) -> Result<()> {
        let peer = self.peer.as_mut().and_then(Peer::deadline);
        let deadline = [peer, self.wire.deadline()].into_iter().flatten().fold(end, Instant::min);
        let wait = deadline.saturating_duration_since(Instant::now());
        // A case may have a clock of its own, and looks at it between waits.
        let wait = rustix::event::Timespec::try_from(wait.min(Duration::from_millis(10)))?;
        let ready = rustix::event::PollFlags::IN;
        let mut sources = [
            rustix::event::PollFd::from_borrowed_fd(self.wire.as_fd(), ready),
            rustix::event::PollFd::from_borrowed_fd(self.guest.as_fd(), ready),
        ];
        rustix::event::poll(&mut sources, Some(&wait))?;
        Ok(())
    }
}
