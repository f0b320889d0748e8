//! What a client is told when it cannot be connected.

use std::io;

use fast_socks5::ReplyError;

/// What protocols say of an error.
pub(super) struct Told {
    pub(super) socks: ReplyError,
    pub(super) http: &'static str,
}

impl Told {
    pub(super) fn of(error: &io::Error) -> Self {
        use io::ErrorKind as Kind;
        let (socks, http) = match error.kind() {
            Kind::NetworkUnreachable | Kind::AddrNotAvailable => {
                (ReplyError::NetworkUnreachable, "502 Bad Gateway")
            }
            Kind::ConnectionRefused => (ReplyError::ConnectionRefused, "502 Bad Gateway"),
            Kind::TimedOut => (ReplyError::HostUnreachable, "504 Gateway Timeout"),
            Kind::HostUnreachable | Kind::NotFound | Kind::Unsupported => {
                (ReplyError::HostUnreachable, "502 Bad Gateway")
            }
            Kind::QuotaExceeded => (ReplyError::GeneralFailure, "503 Service Unavailable"),
            Kind::InvalidInput => (ReplyError::HostUnreachable, "400 Bad Request"),
            _ => (ReplyError::GeneralFailure, "502 Bad Gateway"),
        };
        Self { socks, http }
    }
}
