//! The two MACs of handshake messages and the cookies behind the second (whitepaper sections
//! 5.3, 5.4.4 and 5.4.7).

use core::net::{IpAddr, SocketAddr};

use rand_core::CryptoRng;

use crate::constants::{COOKIE_MAX_AGE, COOKIE_SECRET_MAX_AGE};
use crate::crypto;
use crate::keys::PublicKey;
use crate::message::{CookieReply, Macs, Sealed, kind};
use crate::refusal::Refusal;
use crate::secret::Secret;
use crate::time::Instant;

const LABEL_MAC1: &[u8; 8] = b"mac1----";
const LABEL_COOKIE: &[u8; 8] = b"cookie--";

/// The keys that follow from the receiver's (mac1) and the cookie sender's public key.
pub(crate) struct MacKeys {
    mac1: [u8; 32],
    cookie: [u8; 32],
}

impl MacKeys {
    pub(crate) const BLANK: Self = Self { mac1: [0; 32], cookie: [0; 32] };

    pub(crate) fn new(public: &PublicKey) -> Self {
        Self { mac1: mac1_key(public), cookie: cookie_key(public) }
    }
}

fn mac1_key(public: &PublicKey) -> [u8; 32] {
    crypto::hash(&[LABEL_MAC1, public.as_bytes()])
}

fn cookie_key(public: &PublicKey) -> [u8; 32] {
    crypto::hash(&[LABEL_COOKIE, public.as_bytes()])
}

/// Checks the MACs of what comes in, and hands out our cookies.
pub(crate) struct Checker {
    secret: Secret<32>,
    secret_born: Option<Instant>,
}

impl Checker {
    pub(crate) const fn new() -> Self {
        Self { secret: Secret::ZERO, secret_born: None }
    }

    /// Forgets the secret: cookies handed out so far are void.
    pub(crate) fn wipe(&mut self) {
        self.secret.wipe();
        self.secret_born = None;
    }

    /// The first and cheapest check of every handshake message.
    pub(crate) fn mac1_is_valid(keys: &MacKeys, body: &[u8], macs: &Macs) -> bool {
        crypto::equal(&crypto::mac(&keys.mac1, &[body]), &macs.mac1)
    }

    /// Whether the sender proved by our cookie that it receives at `source`.
    pub(crate) fn mac2_is_valid(
        &mut self,
        now: Instant,
        rng: &mut dyn CryptoRng,
        source: &SocketAddr,
        body: &[u8],
        macs: &Macs,
    ) -> bool {
        let cookie = self.cookie(now, rng, source);
        crypto::equal(&crypto::mac(cookie.as_bytes(), &[body, &macs.mac1]), &macs.mac2)
    }

    /// Section 5.4.7: the answer under load to a message from `sender` with a valid mac1.
    pub(crate) fn reply(
        &mut self,
        now: Instant,
        rng: &mut dyn CryptoRng,
        keys: &MacKeys,
        source: &SocketAddr,
        sender: u32,
        mac1: &[u8; 16],
        reply: &mut CookieReply,
    ) {
        reply.kind = kind::COOKIE_REPLY.into();
        reply.receiver = sender.into();
        rng.fill_bytes(&mut reply.nonce);
        let Sealed { text, tag } = &mut reply.encrypted_cookie;
        *text = *self.cookie(now, rng, source).as_bytes();
        *tag = crypto::xseal(&keys.cookie, &reply.nonce, mac1, text);
    }

    /// MAC(secret, address ‖ port), under a secret that is replaced when used at 120 s.
    fn cookie(&mut self, now: Instant, rng: &mut dyn CryptoRng, source: &SocketAddr) -> Secret<16> {
        if self.secret_born.is_none_or(|born| now.has_reached(born, COOKIE_SECRET_MAX_AGE)) {
            rng.fill_bytes(self.secret.as_mut());
            self.secret_born = Some(now);
        }
        let (v4, v6);
        let ip: &[u8] = match source.ip() {
            IpAddr::V4(ip) => {
                v4 = ip.octets();
                &v4
            }
            IpAddr::V6(ip) => {
                v6 = ip.octets();
                &v6
            }
        };
        Secret::new(crypto::mac(self.secret.as_bytes(), &[ip, &source.port().to_be_bytes()]))
    }
}

/// Makes the MACs of what goes out to one peer, and keeps the cookie that it gave us.
pub(crate) struct Jar {
    cookie: Secret<16>,
    received: Option<Instant>,
    last_mac1: [u8; 16],
    /// Whether a cookie reply to the message with `last_mac1` is still welcome.
    expecting: bool,
}

impl Jar {
    pub(crate) const EMPTY: Self =
        Self { cookie: Secret::ZERO, received: None, last_mac1: [0; 16], expecting: false };

    /// Writes the MACs of a message to the peer with the key `remote`. mac2 is zero without a
    /// fresh cookie.
    pub(crate) fn sign(&mut self, now: Instant, remote: &PublicKey, body: &[u8], macs: &mut Macs) {
        macs.mac1 = crypto::mac(&mac1_key(remote), &[body]);
        self.last_mac1 = macs.mac1;
        self.expecting = true;

        if self.received.is_some_and(|at| now.has_reached(at, COOKIE_MAX_AGE)) {
            self.forget();
        }
        macs.mac2 = match self.received {
            Some(_) => crypto::mac(self.cookie.as_bytes(), &[body, &macs.mac1]),
            None => [0; 16],
        };
    }

    /// Keeps the cookie of a reply that authenticates, for the next retry. One reply a message,
    /// which is decrypted in place.
    pub(crate) fn consume(
        &mut self,
        now: Instant,
        remote: &PublicKey,
        reply: &mut CookieReply,
    ) -> Result<(), Refusal> {
        if !self.expecting {
            return Err(Refusal::UnexpectedCookie);
        }
        let Sealed { text, tag } = &mut reply.encrypted_cookie;
        crypto::xopen(&cookie_key(remote), &reply.nonce, &self.last_mac1, text, tag)
            .map_err(|_| Refusal::CookieUndecryptable)?;
        *self.cookie.as_mut() = *text;
        self.received = Some(now);
        self.expecting = false;
        Ok(())
    }

    pub(crate) fn wipe(&mut self) {
        self.forget();
        self.last_mac1 = [0; 16];
        self.expecting = false;
    }

    fn forget(&mut self) {
        self.cookie.wipe();
        self.received = None;
    }
}
