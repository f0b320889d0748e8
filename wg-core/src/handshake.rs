//! The handshake, Noise IKpsk2 (whitepaper sections 5.4.2 and 5.4.3): four functions whose
//! bodies are the paper's token list.
//!
//! Each computes in locals that wipe themselves and returns what is to be kept, so a refused
//! message leaves no trace. They are not inlined: their locals leave the stack with them.

use rand_core::CryptoRng;

use crate::crypto;
use crate::keys::{PresharedKey, PublicKey};
use crate::message::{InitiationBody, ResponseBody, Sealed, kind};
use crate::noise::{Symmetric, ZeroSharedSecret, dh};
use crate::refusal::Refusal;
use crate::secret::Secret;
use crate::tai64n::Tai64n;

/// The device's static key pair.
pub(crate) struct StaticKeys {
    pub(crate) private: Secret<32>,
    pub(crate) public: PublicKey,
}

/// What a handshake needs to know of the other side.
pub(crate) struct Remote {
    pub(crate) public: PublicKey,
    pub(crate) preshared: PresharedKey,
    /// DH(our static, their static): the same for every handshake. Zero: refuse them all.
    pub(crate) static_static: Secret<32>,
}

/// A fresh key pair for one handshake.
pub(crate) struct Ephemeral {
    private: Secret<32>,
    public: [u8; 32],
}

impl Ephemeral {
    pub(crate) fn generate(rng: &mut dyn CryptoRng) -> Self {
        let mut ephemeral = Self { private: Secret::ZERO, public: [0; 32] };
        rng.fill_bytes(ephemeral.private.as_mut());
        ephemeral.public = crypto::public_key(ephemeral.private.as_bytes());
        ephemeral
    }
}

/// What the initiator keeps until the response comes.
pub(crate) struct Initiator {
    pub(crate) symmetric: Symmetric,
    pub(crate) ephemeral: Secret<32>,
}

impl Initiator {
    pub(crate) const BLANK: Self = Self { symmetric: Symmetric::BLANK, ephemeral: Secret::ZERO };

    pub(crate) fn wipe(&mut self) {
        self.symmetric.wipe();
        self.ephemeral.wipe();
    }
}

/// What the responder carries from the initiation to the response.
pub(crate) struct Responder {
    symmetric: Symmetric,
    remote_ephemeral: [u8; 32],
    remote_index: u32,
    pub(crate) timestamp: Tai64n,
}

impl Responder {
    /// The initiator's index: the receiver of everything that we send in this session.
    pub(crate) const fn remote_index(&self) -> u32 {
        self.remote_index
    }
}

/// The two keys of a session.
pub(crate) struct TransportKeys {
    pub(crate) send: Secret<32>,
    pub(crate) receive: Secret<32>,
}

impl TransportKeys {
    pub(crate) const BLANK: Self = Self { send: Secret::ZERO, receive: Secret::ZERO };
}

/// Section 5.4.2. Two X25519 operations, the making of `ephemeral` not counted.
#[inline(never)]
pub(crate) fn create_initiation(
    ours: &StaticKeys,
    remote: &Remote,
    ephemeral: &Ephemeral,
    index: u32,
    timestamp: Tai64n,
    keep: &mut Initiator,
) -> Result<InitiationBody, ZeroSharedSecret> {
    let mut symmetric = Symmetric::start(&remote.public);

    // e
    symmetric.mix_ephemeral(&ephemeral.public);
    // es
    let shared = dh(&ephemeral.private, remote.public.as_bytes())?;
    let key = symmetric.mix_key(&shared);
    // s
    let encrypted_static = symmetric.encrypt(&key, ours.public.as_bytes());
    // ss
    let key = symmetric.mix_key(precomputed(&remote.static_static)?);
    // {t}
    let encrypted_timestamp = symmetric.encrypt(&key, timestamp.as_bytes());

    keep.symmetric.clone_from(&symmetric);
    *keep.ephemeral.as_mut() = *ephemeral.private.as_bytes();
    Ok(InitiationBody {
        kind: kind::INITIATION.into(),
        sender: index.into(),
        ephemeral: ephemeral.public,
        encrypted_static,
        encrypted_timestamp,
    })
}

/// Section 5.4.2, received. One X25519 operation. `find` looks up the peer that the
/// initiation names; it is called at most once.
#[inline(never)]
pub(crate) fn consume_initiation<'p>(
    ours: &StaticKeys,
    initiation: &InitiationBody,
    find: impl FnOnce(&PublicKey) -> Option<&'p Remote>,
) -> Result<Responder, Refusal> {
    let mut symmetric = Symmetric::start(&ours.public);

    // e
    symmetric.mix_ephemeral(&initiation.ephemeral);
    // es
    let shared = dh(&ours.private, &initiation.ephemeral)?;
    let key = symmetric.mix_key(&shared);
    // s
    let public = symmetric
        .decrypt(&key, &initiation.encrypted_static)
        .map_err(|_| Refusal::StaticUndecryptable)?;
    let remote = find(&PublicKey::from_bytes(public)).ok_or(Refusal::UnknownPeer)?;
    // ss
    let key = symmetric.mix_key(precomputed(&remote.static_static)?);
    // {t}
    let timestamp = symmetric
        .decrypt(&key, &initiation.encrypted_timestamp)
        .map_err(|_| Refusal::TimestampUndecryptable)?;

    Ok(Responder {
        symmetric,
        remote_ephemeral: initiation.ephemeral,
        remote_index: initiation.sender.get(),
        timestamp: Tai64n::from_bytes(timestamp),
    })
}

/// Section 5.4.3. Two X25519 operations, the making of `ephemeral` not counted.
#[inline(never)]
pub(crate) fn create_response(
    remote: &Remote,
    responder: Responder,
    ephemeral: &Ephemeral,
    index: u32,
    keys: &mut TransportKeys,
) -> Result<ResponseBody, ZeroSharedSecret> {
    let mut symmetric = responder.symmetric;

    // e
    symmetric.mix_ephemeral(&ephemeral.public);
    // ee
    symmetric.mix_dh(&ephemeral.private, &responder.remote_ephemeral)?;
    // se
    symmetric.mix_dh(&ephemeral.private, remote.public.as_bytes())?;
    // psk
    let key = symmetric.mix_psk(&remote.preshared);
    // {}
    let encrypted_nothing: Sealed<0> = symmetric.encrypt(&key, &[]);

    symmetric.split(&mut keys.receive, &mut keys.send);
    Ok(ResponseBody {
        kind: kind::RESPONSE.into(),
        sender: index.into(),
        receiver: responder.remote_index.into(),
        ephemeral: ephemeral.public,
        encrypted_nothing,
    })
}

/// Section 5.4.3, received. Two X25519 operations.
#[inline(never)]
pub(crate) fn consume_response(
    ours: &StaticKeys,
    remote: &Remote,
    kept: &Initiator,
    response: &ResponseBody,
    keys: &mut TransportKeys,
) -> Result<(), Refusal> {
    let mut symmetric = kept.symmetric.clone();

    // e
    symmetric.mix_ephemeral(&response.ephemeral);
    // ee
    symmetric.mix_dh(&kept.ephemeral, &response.ephemeral)?;
    // se
    symmetric.mix_dh(&ours.private, &response.ephemeral)?;
    // psk
    let key = symmetric.mix_psk(&remote.preshared);
    // {}
    symmetric
        .decrypt(&key, &response.encrypted_nothing)
        .map_err(|_| Refusal::ResponseUndecryptable)?;

    symmetric.split(&mut keys.send, &mut keys.receive);
    Ok(())
}

/// The static-static secret, unless the peer's public key is of low order.
fn precomputed(static_static: &Secret<32>) -> Result<&[u8; 32], ZeroSharedSecret> {
    if static_static.is_zero() { Err(ZeroSharedSecret) } else { Ok(static_static.as_bytes()) }
}

impl From<ZeroSharedSecret> for Refusal {
    fn from(_: ZeroSharedSecret) -> Self {
        Self::ZeroSharedSecret
    }
}
