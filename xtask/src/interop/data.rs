//! Packets of every size and family arrive whole, and streams with them.

use core::net::SocketAddr;
use core::time::Duration;

use anyhow::{Result, ensure};
use sha2::{Digest, Sha256};

use super::scene::{KERNEL_INNER, MTU, OUR_INNER, V4, V6};
use super::{Case, Scene, Tunnel};
use crate::lan::Faults;

pub(super) const CASES: &[Case] = &[
    Case::new("data.ipv4_inside", "IPv4 packets pass both ways", ipv4_inside),
    Case::new("data.ipv6_inside", "IPv6 packets pass both ways", ipv6_inside),
    Case::new(
        "data.congestion_marks_cost_no_packet",
        "a path that marks all datagrams loses none, though the packets inside carry no mark",
        congestion_marks_cost_no_packet,
    ),
    Case::new(
        "data.every_ping_size",
        "echoes of every size up to the MTU come back whole, IPv4 and IPv6",
        every_ping_size,
    ),
    Case::new("data.tcp_to_kernel", "10 MB by TCP to the kernel, checksummed", tcp_to_kernel),
    Case::new("data.tcp_from_kernel", "10 MB by TCP from the kernel, checksummed", tcp_from_kernel),
    Case::new(
        "data.tcp_over_ipv6",
        "10 MB by TCP over IPv6 inside and outside, checksummed",
        tcp_over_ipv6,
    ),
    Case::new(
        "data.tcp_through_a_bad_link",
        "TCP arrives whole though datagrams are lost, doubled and overtaken",
        tcp_through_a_bad_link,
    ),
];

const STREAM: usize = 10 << 20;

const STREAM_LIMIT: Duration = Duration::from_secs(60);
/// The host inside doubles its retransmission timer for each fast retransmission, too (smoltcp
/// 0.13), up to a minute: one stream in twenty through a bad link waits for that.
const BAD_LINK_LIMIT: Duration = Duration::from_secs(300);

fn ipv4_inside(scene: &mut Scene) -> Result<()> {
    scene.set_up(&Tunnel::fresh())?;
    scene.ping(V4)?;
    scene.kernel_pings(V4)
}

fn ipv6_inside(scene: &mut Scene) -> Result<()> {
    scene.set_up(&Tunnel::fresh())?;
    scene.ping(V6)?;
    scene.kernel_pings(V6)
}

fn congestion_marks_cost_no_packet(scene: &mut Scene) -> Result<()> {
    scene.set_up(&Tunnel::fresh())?;
    scene.wire.set_congested(true);
    for family in [V4, V6, V4, V6] {
        scene.ping(family)?;
        scene.kernel_pings(family)?;
    }
    Ok(())
}

/// The whole range from our side; the ends of it from the kernel's, which also fragments a
/// packet over the MTU.
fn every_ping_size(scene: &mut Scene) -> Result<()> {
    scene.set_up(&Tunnel::fresh())?;
    scene.ping(V4)?;
    for (family, headers) in [(V4, 20 + 8), (V6, 40 + 8)] {
        ping_sizes(scene, family, MTU - headers)?;
        let largest = MTU - headers;
        for size in [0, 1, 15, 16, 17, largest - 1, largest] {
            scene.run(&format!("ping -c 1 -W 5 -s {size} {}", OUR_INNER[family]))?;
        }
    }
    Ok(())
}

/// Pings of 0 to `largest` bytes, some at a time, since an emulated kernel takes its time.
fn ping_sizes(scene: &mut Scene, family: usize, largest: usize) -> Result<()> {
    const AT_ONCE: usize = 16;
    let mut came_back = vec![false; largest + 1];
    let mut next = 0;
    let mut returned = 0;
    scene.until("an echo of every size", Duration::from_secs(120), |scene| {
        let inner = &mut scene.peer().inner;
        while next <= largest && next - returned < AT_ONCE {
            inner.ping(KERNEL_INNER[family], u16::try_from(next)?, next)?;
            next += 1;
        }
        while let Some(echo) = inner.next_echo() {
            let size = usize::from(echo.sequence);
            ensure!(echo.length == size, "{size} bytes came back as {}", echo.length);
            ensure!(!core::mem::replace(&mut came_back[size], true), "{size} bytes came twice");
            returned += 1;
        }
        Ok(returned > largest)
    })
}

fn tcp_to_kernel(scene: &mut Scene) -> Result<()> {
    scene.set_up(&Tunnel::fresh())?;
    send_stream(scene, V4, STREAM, STREAM_LIMIT)
}

fn tcp_from_kernel(scene: &mut Scene) -> Result<()> {
    scene.set_up(&Tunnel::called_by_kernel())?;
    receive_stream(scene, V4, STREAM, STREAM_LIMIT)
}

fn tcp_over_ipv6(scene: &mut Scene) -> Result<()> {
    scene.set_up(&Tunnel { outside: V6, ..Tunnel::fresh() })?;
    send_stream(scene, V6, STREAM, STREAM_LIMIT)?;
    receive_stream(scene, V6, STREAM, STREAM_LIMIT)
}

fn tcp_through_a_bad_link(scene: &mut Scene) -> Result<()> {
    scene.set_up(&Tunnel::fresh())?;
    scene.wire.set_faults(Faults {
        loss_percent: 2,
        duplicate_percent: 5,
        delay: Duration::from_micros(500),
    });
    send_stream(scene, V4, STREAM / 20, BAD_LINK_LIMIT)?;
    receive_stream(scene, V4, STREAM / 20, BAD_LINK_LIMIT)
}

fn send_stream(scene: &mut Scene, family: usize, length: usize, limit: Duration) -> Result<()> {
    let port = 5001;
    let data: Vec<u8> = core::iter::repeat_with(|| fastrand::u8(..)).take(length).collect();
    let listening = scene.start(&format!("nc -l -p {port} | sha256sum"))?;
    scene.run(&listens_on(port))?;
    let socket = scene.peer().inner.connect(SocketAddr::new(KERNEL_INNER[family], port))?;
    let mut sent = 0;
    scene.until("a TCP stream to the kernel", limit, |scene| {
        let socket = scene.peer().inner.tcp(socket);
        if socket.can_send() {
            sent += socket.send_slice(&data[sent..])?;
        }
        if sent == length {
            socket.close();
        }
        Ok(sent == length)
    })?;
    let theirs = scene.join(listening, limit)?;
    let ours = format!("{:x}", Sha256::digest(&data));
    ensure!(theirs.starts_with(&ours), "we sent {ours}, the kernel got {theirs}");
    Ok(())
}

fn receive_stream(scene: &mut Scene, family: usize, length: usize, limit: Duration) -> Result<()> {
    let port = 5002;
    scene.run(&format!("dd if=/dev/urandom of=/tmp/stream bs=4096 count={}", length / 4096))?;
    let theirs = scene.run("sha256sum < /tmp/stream")?;
    let socket = scene.peer().inner.listen(port)?;
    let sending = scene.start(&format!("nc {} {port} < /tmp/stream", OUR_INNER[family]))?;
    let mut hash = Sha256::new();
    let mut received = 0;
    let whole = length / 4096 * 4096;
    scene.until("a TCP stream from the kernel", limit, |scene| {
        let socket = scene.peer().inner.tcp(socket);
        while socket.can_recv() {
            received += socket.recv(|bytes| {
                hash.update(&*bytes);
                (bytes.len(), bytes.len())
            })?;
        }
        if received == whole {
            socket.close();
        }
        Ok(received == whole)
    })?;
    scene.join(sending, Duration::from_secs(20))?;
    let ours = format!("{:x}", hash.finalize());
    ensure!(theirs.starts_with(&ours), "the kernel sent {theirs}, we got {ours}");
    Ok(())
}

/// A script that ends when something listens on `port`.
fn listens_on(port: u16) -> String {
    format!("until netstat -tln | grep -q ':{port} '; do usleep 20000; done")
}
