//! Addresses and ports as they stand on the command line.

use core::fmt;
use core::str::FromStr;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use wg_core::config::HostPort;

/// A port of this machine, on loopback unless an address is given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Local(pub(super) SocketAddr);

impl Local {
    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    /// Where SOCKS5 usually is.
    pub(super) const DEFAULT: SocketAddr = SocketAddr::new(Self::LOOPBACK, 1080);
}

impl FromStr for Local {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(port) = text.parse() {
            return Ok(Self(SocketAddr::new(Self::LOOPBACK, port)));
        }
        let wrong = || format!("{text:?} is no [ADDRESS:]PORT, such as 1080 or [::1]:1080");
        text.parse().map(Self).map_err(|_| wrong())
    }
}

/// A host inside the tunnel, by name or address, and a port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Remote {
    pub(super) host: String,
    pub(super) port: u16,
}

impl FromStr for Remote {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text:?} is no HOST:PORT, such as db.internal:5432 or [fd00::1]:80");
        let parsed = HostPort::parse(text).map_err(|_| wrong())?;
        if parsed.host().is_empty() || parsed.port() == 0 {
            return Err(wrong());
        }
        Ok(Self { host: parsed.host().to_owned(), port: parsed.port() })
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// A port of this machine that leads into the tunnel.
#[derive(Clone, Debug)]
pub(super) struct Forward {
    pub(super) from: Local,
    pub(super) to: Remote,
}

impl FromStr for Forward {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (from, to) = text.split_once('=').ok_or("there is no =")?;
        Ok(Self { from: from.parse()?, to: to.parse()? })
    }
}

/// A port inside the tunnel that leads to this machine.
#[derive(Clone, Debug)]
pub(super) struct Expose {
    pub(super) port: u16,
    pub(super) to: Local,
}

impl FromStr for Expose {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (port, to) = text.split_once('=').ok_or("there is no =")?;
        let to: Local = to.parse()?;
        let number = port.parse().ok().filter(|&port| port != 0 && to.0.port() != 0);
        let port = number.ok_or("a port is a number from 1 to 65535")?;
        Ok(Self { port, to })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_left_out_is_loopback() {
        let forward: Forward = "8080=db.internal:80".parse().unwrap();
        assert_eq!(forward.from.0, "127.0.0.1:8080".parse().unwrap());
        assert_eq!(forward.to.to_string(), "db.internal:80");
        let forward: Forward = "[::]:8080=[fd09::2]:80".parse().unwrap();
        assert_eq!(forward.from.0, "[::]:8080".parse().unwrap());
        assert_eq!(forward.to, Remote { host: "fd09::2".into(), port: 80 });
        assert_eq!(forward.to.to_string(), "[fd09::2]:80");
        let expose: Expose = "80=3000".parse().unwrap();
        assert_eq!((expose.port, expose.to.0), (80, "127.0.0.1:3000".parse().unwrap()));
    }

    #[test]
    fn what_is_no_address_is_told() {
        for (text, why) in [
            ("8080", "there is no ="),
            ("8080=10.9.0.2", "\"10.9.0.2\" is no HOST:PORT"),
            ("8080=:80", "\":80\" is no HOST:PORT"),
            ("70000=a:1", "\"70000\" is no [ADDRESS:]PORT"),
        ] {
            let error = text.parse::<Forward>().unwrap_err();
            assert!(error.starts_with(why), "{text}: {error}");
        }
        for text in ["80", "0=1", "80=0", "x=1"] {
            assert!(text.parse::<Expose>().is_err(), "{text}");
        }
    }
}
