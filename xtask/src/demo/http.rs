//! As much of HTTP as the demo needs: a client, and a server for where no kernel has one.

use core::net::IpAddr;

use anyhow::{Context, Result, bail, ensure};
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp;

use crate::lan::Inner;

const PORT: u16 = 80;
/// Where busybox's server looks for programs.
const PATH: &str = "/cgi-bin/uptime";

/// The kernel's server: busybox's, and a program that keeps what is posted in `/tmp/posts`.
pub(super) const KERNEL_SERVER: &str = "\
mkdir -p /tmp/www/cgi-bin
cat > /tmp/www/cgi-bin/uptime <<'END'
#!/bin/sh
head -c \"$CONTENT_LENGTH\" >> /tmp/posts
echo >> /tmp/posts
printf 'Content-Type: text/plain\\r\\n\\r\\nthanks, %s' \"$(wc -l < /tmp/posts)\"
END
chmod +x /tmp/www/cgi-bin/uptime
httpd -h /tmp/www -p 80
";

/// A post on its way, on a connection of its own.
pub(super) struct Post {
    socket: SocketHandle,
    request: Option<String>,
    answer: Vec<u8>,
}

impl Post {
    pub(super) fn begin(inner: &mut Inner, to: IpAddr, body: &str) -> Result<Self> {
        let request = format!(
            "POST {PATH} HTTP/1.0\r\nHost: gateway\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let socket = inner.connect((to, PORT).into())?;
        Ok(Self { socket, request: Some(request), answer: Vec::new() })
    }

    /// What the server says, once it has said everything.
    pub(super) fn poll(&mut self, inner: &mut Inner) -> Result<Option<String>> {
        let socket = inner.tcp(self.socket);
        if self.request.is_some() {
            ensure!(socket.is_open(), "nobody listens on port {PORT}");
        }
        if socket.can_send()
            && let Some(request) = self.request.take()
        {
            socket.send_slice(request.as_bytes())?;
        }
        read(socket, &mut self.answer)?;
        if self.request.is_some() || socket.may_recv() {
            return Ok(None);
        }
        socket.close();
        let answer = String::from_utf8_lossy(&self.answer);
        let (head, body) = answer.split_once("\r\n\r\n").context("no whole answer")?;
        match head.split(' ').nth(1) {
            Some("200") => Ok(Some(body.to_owned())),
            _ => bail!("the server answers:\n{answer}"),
        }
    }
}

/// A server for one connection after another.
pub(super) struct Server {
    socket: SocketHandle,
    request: Vec<u8>,
    heard: usize,
}

impl Server {
    pub(super) fn listen(inner: &mut Inner) -> Result<Self> {
        Ok(Self { socket: inner.listen(PORT)?, request: Vec::new(), heard: 0 })
    }

    pub(super) fn poll(&mut self, inner: &mut Inner) -> Result<()> {
        let socket = inner.tcp(self.socket);
        read(socket, &mut self.request)?;
        let Some(body) = whole_post(&self.request) else { return Ok(()) };
        println!("gateway  got {body}");
        self.heard += 1;
        let answer = format!("HTTP/1.0 200 OK\r\n\r\nthanks, {}", self.heard);
        socket.send_slice(answer.as_bytes())?;
        socket.close();
        self.request.clear();
        self.socket = inner.listen(PORT)?;
        Ok(())
    }
}

/// The body of a post that is there to its end.
fn whole_post(request: &[u8]) -> Option<String> {
    let request = str::from_utf8(request).ok()?;
    let (head, body) = request.split_once("\r\n\r\n")?;
    let is_ours = head.starts_with(&format!("POST {PATH} "));
    let mut lines = head.lines();
    let length = lines.find_map(|line| line.strip_prefix("Content-Length: "))?;
    (is_ours && length.parse() == Ok(body.len())).then(|| body.to_owned())
}

fn read(socket: &mut tcp::Socket<'_>, to: &mut Vec<u8>) -> Result<()> {
    while socket.can_recv() {
        socket.recv(|bytes| {
            to.extend_from_slice(bytes);
            (bytes.len(), ())
        })?;
    }
    Ok(())
}
