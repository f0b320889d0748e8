//! A configuration written out again.

use core::fmt::{self, Display, Write};

use super::{Config, Peer};

impl Config<'_> {
    /// Writes the configuration out, secrets included, in the usual order and spelling.
    ///
    /// Read again, it means the same; comments and what has no effect are left out. Wiping the
    /// text is the caller's part.
    ///
    /// # Errors
    /// Those of `out`, which may have half of it then.
    pub fn write_with_secrets(&self, out: &mut (impl Write + ?Sized)) -> fmt::Result {
        let private_key = self.private_key().map(|key| key.expose_base64());
        let private_key = private_key.as_ref().map(|key| key.as_str());
        write_config(self, private_key, out, |peer, out| {
            line(out, "PresharedKey", peer.preshared_key().expose_base64().as_str())
        })
    }
}

/// Writes the configuration out with `(hidden)` for each secret.
impl Display for Config<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let private_key = self.private_key().map(|_| HIDDEN);
        write_config(self, private_key, f, |_, f| line(f, "PresharedKey", HIDDEN))
    }
}

const HIDDEN: &str = "(hidden)";

fn write_config<W: Write + ?Sized>(
    config: &Config<'_>,
    private_key: Option<&str>,
    out: &mut W,
    preshared_key: impl Fn(&Peer<'_>, &mut W) -> fmt::Result,
) -> fmt::Result {
    out.write_str("[Interface]\n")?;
    if let Some(private_key) = private_key {
        line(out, "PrivateKey", private_key)?;
    }
    if config.listen_port() != 0 {
        line(out, "ListenPort", config.listen_port())?;
    }
    if config.fw_mark() != 0 {
        writeln!(out, "FwMark = {:#x}", config.fw_mark())?;
    }
    list(out, "Address", config.addresses())?;
    list(out, "DNS", config.dns_servers())?;
    list(out, "DNS", config.dns_search())?;
    if let Some(mtu) = config.mtu() {
        line(out, "MTU", mtu)?;
    }
    for (key, value) in config.host_settings() {
        line(out, key, value)?;
    }
    for peer in config.peers() {
        out.write_str("\n[Peer]\n")?;
        line(out, "PublicKey", peer.public_key())?;
        if !peer.preshared_key().is_none() {
            preshared_key(&peer, out)?;
        }
        list(out, "AllowedIPs", peer.allowed_ips())?;
        if let Some(endpoint) = peer.endpoint() {
            line(out, "Endpoint", endpoint)?;
        }
        if peer.persistent_keepalive() != 0 {
            line(out, "PersistentKeepalive", peer.persistent_keepalive())?;
        }
    }
    Ok(())
}

fn line(out: &mut (impl Write + ?Sized), key: &str, value: impl Display) -> fmt::Result {
    writeln!(out, "{key} = {value}")
}

/// One line for the whole list, and none for an empty one.
fn list(
    out: &mut (impl Write + ?Sized),
    key: &str,
    values: impl Iterator<Item = impl Display>,
) -> fmt::Result {
    let mut values = values.peekable();
    if values.peek().is_none() {
        return Ok(());
    }
    write!(out, "{key} = ")?;
    while let Some(value) = values.next() {
        let separator = if values.peek().is_some() { ", " } else { "\n" };
        write!(out, "{value}{separator}")?;
    }
    Ok(())
}
