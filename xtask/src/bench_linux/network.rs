//! Two network namespaces, joined by a cable.

use std::process::Command;

use anyhow::Result;

use crate::workspace::output_of;

/// The ends of the cable. The tunnel's addresses end like the cable's.
pub(super) const ENDS: [&str; 2] = ["left", "right"];

/// The two namespaces; this process has to be in namespaces of its own, with which they go.
pub(super) struct Network(());

impl Network {
    pub(super) fn new() -> Result<Self> {
        // Names of namespaces, and sockets of tunnels, which nobody else sees.
        sh("mount -t tmpfs tmpfs /run && mkdir -p /run/netns /run/wireguard &&
            ip netns add left && ip netns add right &&
            ip link add eth0 netns left type veth peer name eth0 netns right &&
            ip -n left addr add 192.0.2.1/24 dev eth0 &&
            ip -n right addr add 192.0.2.2/24 dev eth0 &&
            for end in left right; do
                ip -n $end link set lo up && ip -n $end link set eth0 up || exit 1
            done")?;
        Ok(Self(()))
    }

    /// A program in one of the namespaces. Its process is the one that is started.
    pub(super) fn command(&self, end: &str, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", end]).arg(program);
        command
    }
}

/// Runs a script, whose complaint is the error.
pub(super) fn sh(script: &str) -> Result<String> {
    output_of(Command::new("sh").args(["-c", script]))
}
