//! The handshake, Noise IKpsk2 (whitepaper sections 5.4.2 and 5.4.3): four functions whose
//! bodies are the paper's token list.
//!
//! Messages are written and decrypted in the caller's buffer. What is kept of one that is not
//! refused is written into a place of the caller's, which is nowhere that a refusal would be
//! noticed. They are not inlined: their locals leave the stack with them.

use zerocopy::IntoBytes;

use crate::crypto;
use crate::keys::{PresharedKey, PublicKey};
use crate::message::{InitiationBody, ResponseBody, kind};
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

/// What the initiator keeps until the response comes.
pub(crate) struct Initiator {
    symmetric: Symmetric,
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
    /// The initiator's index: the receiver of everything that we send in this session.
    pub(crate) remote_index: u32,
    pub(crate) timestamp: Tai64n,
}

impl Responder {
    pub(crate) const BLANK: Self = Self {
        symmetric: Symmetric::BLANK,
        remote_ephemeral: [0; 32],
        remote_index: 0,
        timestamp: Tai64n::ZERO,
    };
}

/// The two keys of a session.
pub(crate) struct TransportKeys {
    pub(crate) send: Secret<32>,
    pub(crate) receive: Secret<32>,
}

impl TransportKeys {
    pub(crate) const BLANK: Self = Self { send: Secret::ZERO, receive: Secret::ZERO };
}

/// Section 5.4.2, written into `body`. Two X25519 operations, and one for the public key of the
/// ephemeral one in `keep`, which is fresh.
#[inline(never)]
pub(crate) fn create_initiation(
    ours: &StaticKeys,
    remote: &Remote,
    index: u32,
    timestamp: Tai64n,
    keep: &mut Initiator,
    body: &mut InitiationBody,
) -> Result<(), ZeroSharedSecret> {
    let Initiator { symmetric, ephemeral } = keep;
    body.kind = kind::INITIATION.into();
    body.sender = index.into();
    symmetric.start(&remote.public);

    // e
    body.ephemeral = crypto::public_key(ephemeral.as_bytes());
    symmetric.mix_ephemeral(&body.ephemeral);
    // es
    let key = symmetric.mix_key(&*dh(ephemeral, remote.public.as_bytes())?);
    // s
    body.encrypted_static.text = *ours.public.as_bytes();
    symmetric.encrypt(&key, body.encrypted_static.as_mut_bytes());
    // ss
    let key = symmetric.mix_key(precomputed(&remote.static_static)?);
    // {t}
    body.encrypted_timestamp.text = *timestamp.as_bytes();
    symmetric.encrypt(&key, body.encrypted_timestamp.as_mut_bytes());
    Ok(())
}

/// Section 5.4.2, received, and decrypted in place. One X25519 operation. `find` looks up the
/// peer that the initiation names; it is called at most once.
#[inline(never)]
pub(crate) fn consume_initiation<'p>(
    ours: &StaticKeys,
    initiation: &mut InitiationBody,
    responder: &mut Responder,
    find: impl FnOnce(&PublicKey) -> Option<&'p Remote>,
) -> Result<(), Refusal> {
    let symmetric = &mut responder.symmetric;
    symmetric.start(&ours.public);

    // e
    symmetric.mix_ephemeral(&initiation.ephemeral);
    // es
    let key = symmetric.mix_key(&*dh(&ours.private, &initiation.ephemeral)?);
    // s
    symmetric
        .decrypt(&key, initiation.encrypted_static.as_mut_bytes())
        .map_err(|_| Refusal::StaticUndecryptable)?;
    let public = PublicKey::from_bytes(initiation.encrypted_static.text);
    let remote = find(&public).ok_or(Refusal::UnknownPeer)?;
    // ss
    let key = symmetric.mix_key(precomputed(&remote.static_static)?);
    // {t}
    symmetric
        .decrypt(&key, initiation.encrypted_timestamp.as_mut_bytes())
        .map_err(|_| Refusal::TimestampUndecryptable)?;

    responder.remote_ephemeral = initiation.ephemeral;
    responder.remote_index = initiation.sender.get();
    responder.timestamp = Tai64n::from_bytes(initiation.encrypted_timestamp.text);
    Ok(())
}

/// Section 5.4.3, written into `body`. Two X25519 operations, and one for the public key of
/// `ephemeral`, which is fresh.
#[inline(never)]
pub(crate) fn create_response(
    remote: &Remote,
    responder: &mut Responder,
    ephemeral: &Secret<32>,
    index: u32,
    keys: &mut TransportKeys,
    body: &mut ResponseBody,
) -> Result<(), ZeroSharedSecret> {
    let symmetric = &mut responder.symmetric;
    body.kind = kind::RESPONSE.into();
    body.sender = index.into();
    body.receiver = responder.remote_index.into();

    // e
    body.ephemeral = crypto::public_key(ephemeral.as_bytes());
    symmetric.mix_ephemeral(&body.ephemeral);
    // ee
    symmetric.mix_dh(ephemeral, &responder.remote_ephemeral)?;
    // se
    symmetric.mix_dh(ephemeral, remote.public.as_bytes())?;
    // psk
    let key = symmetric.mix_psk(&remote.preshared);
    // {}
    symmetric.encrypt(&key, body.encrypted_nothing.as_mut_bytes());

    symmetric.split(&mut keys.receive, &mut keys.send);
    Ok(())
}

/// Section 5.4.3, received. Two X25519 operations.
#[inline(never)]
pub(crate) fn consume_response(
    ours: &StaticKeys,
    remote: &Remote,
    kept: &Initiator,
    response: &mut ResponseBody,
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
        .decrypt(&key, response.encrypted_nothing.as_mut_bytes())
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
