//! The page: what a tunnel tells of itself, row by row, without a heap's worth of text.

use core::fmt;

use gateway::Board;
use picoserve::io::Write;
use picoserve::response::chunked::{ChunkWriter, Chunks, ChunksWritten};
use wg_nal::wg_core::{Connection, Instant, PeerStatus, PublicKey, Refusals};
use wg_nal::{Counters, EmbassyTime, Monotonic};

const HEAD: &str = include_str!("head.html");

/// The tunnel as it was when the page was asked for.
pub(crate) struct Page {
    now: Instant,
    public_key: Option<PublicKey>,
    // In firmware a `heapless::Vec`, as long as there may be peers.
    peers: Vec<PeerStatus>,
    refusals: Refusals,
    counters: Counters,
    waiting: usize,
}

impl Page {
    pub(crate) fn of(board: Board) -> Self {
        let mut peers = Vec::new();
        board.tunnel.for_each_peer(|_, status| peers.push(status));
        Self {
            now: EmbassyTime.now(),
            public_key: board.tunnel.public_key(),
            peers,
            refusals: board.tunnel.refusals(),
            counters: board.tunnel.counters(),
            waiting: board.tunnel.waiting(),
        }
    }

    /// What was lost, with a sentence for each counter.
    fn drops(&self) -> [(u32, &'static str); 10] {
        let counters = &self.counters;
        [
            (counters.displaced, "packets made room for newer ones"),
            (counters.abandoned, "packets waited for a session that did not come"),
            (counters.refused, "packets that the engine refused to send"),
            (counters.overrun, "packets came faster than they were read"),
            (counters.too_long, "datagrams too long for the network"),
            (counters.unsent, "datagrams that the network did not take"),
            (counters.receive_errors, "errors of the network while receiving"),
            (counters.routing_loops, "datagrams that were routed into the tunnel"),
            (counters.reserve_errors, "failures to store the next timestamps"),
            (counters.missed_events, "events that nobody fetched in time"),
        ]
    }
}

impl Chunks for Page {
    fn content_type(&self) -> &'static str {
        "text/html; charset=utf-8"
    }

    async fn write_chunks<W: Write>(
        self,
        mut to: ChunkWriter<W>,
    ) -> Result<ChunksWritten, W::Error> {
        to.write_chunk(HEAD.as_bytes()).await?;
        let up = Age(self.now.saturating_since(Instant::ZERO));
        write!(to, "<header><h1>Tunnel</h1><p>up for {up}, ").await?;
        write!(to, "{} packets wait for a session</p>", self.waiting).await?;
        if let Some(key) = self.public_key {
            write!(to, "<p class=key>public key {key}</p>").await?;
        }
        to.write_chunk(b"</header>\n").await?;

        for peer in &self.peers {
            write_peer(&mut to, self.now, peer).await?;
        }

        to.write_chunk(b"<section><h2>Refused, by reason</h2><table>").await?;
        for (refusal, times) in self.refusals.iter() {
            write!(to, "<tr><td class=n>{times}<td>{refusal}").await?;
        }
        if self.refusals.iter().next().is_none() {
            to.write_chunk(b"<tr><td class=n>0<td>nothing was refused").await?;
        }
        to.write_chunk(b"</table></section>\n<section><h2>Lost</h2><table>").await?;
        for (times, what) in self.drops() {
            let class = if times == 0 { "none" } else { "some" };
            write!(to, "<tr class={class}><td class=n>{times}<td>{what}").await?;
        }
        to.write_chunk(b"</table></section>\n</main></body></html>\n").await?;
        to.finalize().await
    }
}

async fn write_peer<W: Write>(
    to: &mut ChunkWriter<W>,
    now: Instant,
    peer: &PeerStatus,
) -> Result<(), W::Error> {
    let (class, state) = match peer.connection {
        Connection::Up => ("up", "connected"),
        Connection::Idle => ("idle", "idle"),
        Connection::Handshaking => ("idle", "calling"),
        _ => ("down", "not connected"),
    };
    write!(to, "<section><h2>Peer <b class={class}>{state}</b></h2>").await?;
    write!(to, "<p class=key>{}</p><table>", peer.public_key).await?;
    if let Connection::Blocked(why) = peer.connection {
        write!(to, "<tr><td>why<td>{why}").await?;
    }
    match peer.endpoint {
        Some(endpoint) => write!(to, "<tr><td>endpoint<td>{endpoint}").await?,
        None => to.write_chunk(b"<tr><td>endpoint<td>not known yet").await?,
    }
    match peer.session_birth {
        Some(birth) => {
            let age = Age(now.saturating_since(birth));
            write!(to, "<tr><td>session<td>{age} old").await?;
        }
        None => to.write_chunk(b"<tr><td>session<td>none").await?,
    }
    match peer.last_handshake {
        Some(at) => {
            let age = Age(now.saturating_since(at));
            write!(to, "<tr><td>last handshake<td>{age} ago").await?;
        }
        None => to.write_chunk(b"<tr><td>last handshake<td>never").await?,
    }
    let (received, sent) = (peer.received_bytes, peer.sent_bytes);
    write!(to, "<tr><td>received<td>{received} bytes<tr><td>sent<td>{sent} bytes").await?;
    match peer.persistent_keepalive {
        0 => to.write_chunk(b"<tr><td>keepalive<td>off").await?,
        seconds => write!(to, "<tr><td>keepalive<td>every {seconds} s").await?,
    }
    to.write_chunk(b"</table></section>\n").await
}

/// A time in words.
struct Age(core::time::Duration);

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_secs() {
            0 => write!(f, "{} ms", self.0.as_millis()),
            seconds @ 1..120 => write!(f, "{seconds} s"),
            seconds @ 120..7200 => write!(f, "{} min", seconds / 60),
            seconds => write!(f, "{} h {} min", seconds / 3600, seconds / 60 % 60),
        }
    }
}
