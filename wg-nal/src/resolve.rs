//! An endpoint that is a name.

use core::net::{IpAddr, SocketAddr};
#[cfg(feature = "embedded-nal-async")]
use core::pin::pin;
use core::time::Duration;

use wg_core::Instant;

#[cfg(feature = "embedded-nal-async")]
use crate::monotonic::Monotonic;

/// How long after a fruitless round of queries the next one begins, at first. Doubles with
/// each, up to [`LONGEST_WAIT`].
pub const SHORTEST_WAIT: Duration = Duration::from_secs(5);

/// How long fruitless rounds of queries are apart, at most, while no address is known. Where
/// handshakes with an address go unanswered, rounds are ten seconds apart at most: an attempt costs
/// more than a query, and who moved is to be found again soon.
pub const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// How long a query of the blocking resolver may take.
pub const QUERY_PATIENCE: Duration = Duration::from_secs(10);

/// How long a query of the asynchronous resolver may take. A stack's DNS asks one server after the
/// other: embassy-net's has ten seconds for each of four.
pub const LONGEST_QUERY: Duration = Duration::from_secs(60);

/// A family of addresses, to ask DNS for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Family {
    /// `A` records.
    V4,
    /// `AAAA` records.
    V6,
}

impl Family {
    const fn other(self) -> Self {
        match self {
            Self::V4 => Self::V6,
            Self::V6 => Self::V4,
        }
    }
}

/// A peer's endpoint by name, and when to ask for its address.
///
/// It neither asks nor waits: that is `resolve`'s and `poll_resolve`'s part, or the caller's.
///
/// | happens                    | what follows                                              |
/// |----------------------------|-----------------------------------------------------------|
/// | created                    | a round of queries, at once                               |
/// | a new address              | the round ends; that is the endpoint now                  |
/// | the same address, or none  | the other family, once; then the round ends               |
/// | a round without any address| the next round, after a wait that doubles                 |
/// | a handshake unanswered     | a round that begins with the other family, after the wait |
/// | a session                  | queries end; the wait is short again                      |
///
/// A round is two queries at most. An address in place of the name is never asked for.
#[derive(Clone, Debug)]
pub struct EndpointName<'h> {
    host: &'h str,
    port: u16,
    literal: Option<IpAddr>,
    /// The endpoint that is of no use, or the one that DNS told last.
    present: Option<SocketAddr>,
    /// The family to ask for next.
    next: Family,
    /// When to ask; `None` while there is no need to.
    due: Option<Instant>,
    /// The query that is under way.
    asked: Option<(Family, Instant)>,
    /// This round has asked for one family already.
    second: bool,
    /// The next round begins no earlier.
    not_before: Instant,
    wait: Duration,
}

impl<'h> EndpointName<'h> {
    /// An endpoint at `port` of `host`: a name, or an address, which may stand in brackets.
    ///
    /// `first` is the family to begin with. A board whose network has IPv4 only saves a
    /// handshake's timeout with [`Family::V4`].
    pub fn new(host: &'h str, port: u16, first: Family) -> Self {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let literal = bare.parse().ok();
        Self {
            host,
            port,
            literal,
            present: None,
            next: first,
            due: literal.is_none().then_some(Instant::ZERO),
            asked: None,
            second: false,
            not_before: Instant::ZERO,
            wait: SHORTEST_WAIT,
        }
    }

    /// The name, as it was given.
    pub const fn host(&self) -> &'h str {
        self.host
    }

    /// The endpoint, where an address stands in place of a name.
    pub fn literal(&self) -> Option<SocketAddr> {
        self.literal.map(|ip| SocketAddr::new(ip, self.port))
    }

    /// When [`next_query`](Self::next_query) has something to ask; `None` while nothing is to
    /// be asked or a query is under way.
    pub fn deadline(&self) -> Option<Instant> {
        self.due.filter(|_| self.asked.is_none())
    }

    /// What to ask DNS for now. The answer goes to [`answered`](Self::answered) or
    /// [`failed`](Self::failed); until then there is nothing else to ask.
    pub fn next_query(&mut self, now: Instant) -> Option<Family> {
        if self.deadline().is_none_or(|due| due > now) {
            return None;
        }
        if !self.second {
            let longest = match self.present {
                Some(_) => SHORTEST_WAIT.saturating_mul(2),
                None => LONGEST_WAIT,
            };
            self.not_before = now.saturating_add(self.wait.min(longest));
            self.wait = self.wait.saturating_mul(2).min(LONGEST_WAIT);
        }
        self.asked = Some((self.next, now));
        Some(self.next)
    }

    /// Takes DNS's answer. Returns the endpoint that the peer is to have from now on, where
    /// that is another one than before.
    pub fn answered(&mut self, now: Instant, ip: IpAddr) -> Option<SocketAddr> {
        self.asked.take()?;
        let endpoint = SocketAddr::new(ip.to_canonical(), self.port);
        if self.present == Some(endpoint) {
            self.go_on(now);
            return None;
        }
        self.present = Some(endpoint);
        // The family after this one is what an unanswered handshake asks for.
        self.next = self.next.other();
        self.second = false;
        self.due = None;
        Some(endpoint)
    }

    /// Takes DNS's failure to answer.
    pub fn failed(&mut self, now: Instant) {
        if self.asked.take().is_some() {
            self.go_on(now);
        }
    }

    /// A handshake with the peer went unanswered at `endpoint`, where it has one.
    ///
    /// Call it for each: it does nothing while a round is under way or about to begin.
    pub fn unanswered(&mut self, now: Instant, endpoint: Option<SocketAddr>) {
        if self.literal.is_none() && self.due.is_none() {
            self.present = endpoint
                .map(|endpoint| SocketAddr::new(endpoint.ip().to_canonical(), endpoint.port()));
            self.due = Some(self.not_before.max(now));
        }
    }

    /// There is a session: its endpoint is right, whatever DNS may say later.
    pub fn reached(&mut self) {
        self.due = None;
        self.asked = None;
        self.second = false;
        self.wait = SHORTEST_WAIT;
    }

    /// After an answer that was of no use.
    fn go_on(&mut self, now: Instant) {
        self.next = self.next.other();
        if self.second {
            self.second = false;
            // With an address, handshakes go on, and say when to ask again.
            self.due = self.present.is_none().then_some(self.not_before.max(now));
        } else {
            self.second = true;
            self.due = Some(now);
        }
    }

    /// Forgets a query whose answer nobody waits for any more, so that it is asked again.
    #[cfg(feature = "embedded-nal-async")]
    fn forget_query(&mut self) {
        self.asked = None;
    }
}

/// Asks DNS what is due now: two queries at most. Returns the peer's new endpoint, if any.
///
/// Run it beside the tunnel, not in its way: it takes as long as the stack's DNS takes. A query
/// without an answer fails after [`LONGEST_QUERY`], and its future is dropped. Dropping this one
/// is safe: the query is asked again next time.
#[cfg(feature = "embedded-nal-async")]
pub async fn resolve<D: embedded_nal_async::Dns, T: Monotonic>(
    name: &mut EndpointName<'_>,
    dns: &D,
    time: &T,
) -> Option<SocketAddr> {
    use embassy_futures::select::{Either, select};
    use embedded_nal_async::AddrType;

    name.forget_query();
    // A round that took long may end when the next one is due: who waits looks around before.
    for _ in 0..2 {
        let asked = time.now();
        let family = name.next_query(asked)?;
        let wanted = match family {
            Family::V4 => AddrType::IPv4,
            Family::V6 => AddrType::IPv6,
        };
        let answer = pin!(dns.get_host_by_name(name.host, wanted));
        let patience = pin!(time.delay_until(asked.saturating_add(LONGEST_QUERY)));
        match select(answer, patience).await {
            Either::First(Ok(ip)) => {
                if let Some(endpoint) = name.answered(time.now(), ip) {
                    return Some(endpoint);
                }
            }
            Either::First(Err(_)) | Either::Second(()) => name.failed(time.now()),
        }
    }
    None
}

/// Asks DNS what is due now, or looks for the answer to what was asked before, and does not
/// wait for it: one call of the stack. Returns the peer's new endpoint, if any.
///
/// Call it as often as the tunnel is polled, while [`EndpointName`] has something to ask. A
/// query without an answer fails after [`QUERY_PATIENCE`].
#[cfg(feature = "embedded-nal")]
pub fn poll_resolve<D: embedded_nal::Dns>(
    name: &mut EndpointName<'_>,
    dns: &mut D,
    now: Instant,
) -> Option<SocketAddr> {
    use embedded_nal::{AddrType, nb};

    if name.asked.is_none() {
        name.next_query(now);
    }
    let (family, since) = name.asked?;
    let wanted = match family {
        Family::V4 => AddrType::IPv4,
        Family::V6 => AddrType::IPv6,
    };
    match dns.get_host_by_name(name.host, wanted) {
        Ok(ip) => return name.answered(now, ip),
        Err(nb::Error::WouldBlock) if !now.has_reached(since, QUERY_PATIENCE) => {}
        Err(_) => name.failed(now),
    }
    None
}
