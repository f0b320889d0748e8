//! Names, asked for inside the tunnel.

use core::future::poll_fn;
use core::task::Poll;
use core::time::Duration;
use std::io;
use std::net::IpAddr;

use smoltcp::iface::SocketHandle;
use smoltcp::socket::dns::{self, GetQueryResultError, QueryHandle, StartQueryError};
use smoltcp::wire::DnsQueryType;

use super::{Shared, ended};

/// How long name servers may take to answer, all their answers together.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);
/// Lookups at the same time; others wait.
pub(super) const LOOKUPS: usize = 64;

impl Shared {
    /// The addresses of a name, IPv6's first.
    pub(super) async fn lookup(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        if let Ok(ip) = host.parse() {
            return Ok(vec![ip]);
        }
        let Some(socket) = self.stack().dns() else {
            let why = "the configuration has no name server: add DNS to [Interface]";
            return Err(io::Error::new(io::ErrorKind::Unsupported, why));
        };
        let looked_up = self.look_up(socket, host);
        tokio::time::timeout(LOOKUP_TIMEOUT, looked_up).await.unwrap_or_else(|_| {
            let why = format!("no name server in the tunnel answers for {host}");
            Err(io::Error::new(io::ErrorKind::TimedOut, why))
        })
    }

    async fn look_up(&self, socket: SocketHandle, host: &str) -> io::Result<Vec<IpAddr>> {
        let _turn = self.lookups.acquire().await.map_err(|_| ended())?;
        let domains = if host.contains('.') { &[][..] } else { &self.search };
        for domain in domains {
            let found = self.ask(socket, &format!("{host}.{domain}")).await?;
            if !found.is_empty() {
                return Ok(found);
            }
        }
        let found = self.ask(socket, host).await?;
        if found.is_empty() {
            let why = format!("no name server in the tunnel has an address for {host}");
            return Err(io::Error::new(io::ErrorKind::NotFound, why));
        }
        Ok(found)
    }

    /// Asks for both families at once.
    async fn ask(&self, socket: SocketHandle, name: &str) -> io::Result<Vec<IpAddr>> {
        let addresses = self.stack().addresses();
        let has = |family: fn(&IpAddr) -> bool| addresses.iter().any(family);
        let (v6, v4) = tokio::join!(
            self.ask_for(socket, name, DnsQueryType::Aaaa, has(IpAddr::is_ipv6)),
            self.ask_for(socket, name, DnsQueryType::A, has(IpAddr::is_ipv4)),
        );
        Ok(v6?.into_iter().chain(v4?).collect())
    }

    async fn ask_for(
        &self,
        socket: SocketHandle,
        name: &str,
        kind: DnsQueryType,
        is_wanted: bool,
    ) -> io::Result<Vec<IpAddr>> {
        if !is_wanted {
            return Ok(Vec::new());
        }
        let query = self.stack().start_query(socket, name, kind).map_err(|error| {
            let why = match error {
                StartQueryError::NoFreeSlot => "too many lookups at once",
                StartQueryError::InvalidName | StartQueryError::NameTooLong => "it is no name",
            };
            io::Error::new(io::ErrorKind::InvalidInput, format!("cannot look up {name:?}: {why}"))
        })?;
        self.wake.notify_one();
        let query = Query { shared: self, socket, query: Some(query) };
        tokio::select! {
            answer = query.answer() => Ok(answer),
            () = self.to_tunnel.closed() => Err(ended()),
        }
    }
}

/// A query that is given up when it is dropped.
struct Query<'s> {
    shared: &'s Shared,
    socket: SocketHandle,
    query: Option<QueryHandle>,
}

impl Query<'_> {
    /// What was found.
    async fn answer(mut self) -> Vec<IpAddr> {
        poll_fn(|context| {
            let mut stack = self.shared.stack();
            let Some(query) = self.query else { return Poll::Ready(Vec::new()) };
            let socket = stack.socket::<dns::Socket<'_>>(self.socket);
            match socket.get_query_result(query) {
                Ok(found) => {
                    self.query = None;
                    Poll::Ready(found.into_iter().map(Into::into).collect())
                }
                Err(GetQueryResultError::Failed) => {
                    self.query = None;
                    Poll::Ready(Vec::new())
                }
                Err(GetQueryResultError::Pending) => {
                    socket.register_query_waker(query, context.waker());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

impl Drop for Query<'_> {
    fn drop(&mut self) {
        if let Some(query) = self.query {
            self.shared.stack().socket::<dns::Socket<'_>>(self.socket).cancel_query(query);
        }
    }
}
