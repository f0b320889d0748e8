//! What a device is to the others.

use crate::cookie::{Checker, MacKeys};
use crate::crypto;
use crate::handshake::StaticKeys;
use crate::keys::{PrivateKey, PublicKey};
use crate::secret::Secret;

const LABEL_TABLE: &[u8; 8] = b"table---";

/// The device's own secrets, and what follows from its public key.
pub(crate) struct Identity {
    is_set: bool,
    keys: StaticKeys,
    /// Follows from the private key that was set last, so that nobody outside can choose public
    /// keys for their places in the table of peers.
    pub(crate) table_key: Secret<32>,
    pub(crate) macs: MacKeys,
    pub(crate) checker: Checker,
}

impl Identity {
    pub(crate) const NONE: Self = Self {
        is_set: false,
        keys: StaticKeys { private: Secret::ZERO, public: PublicKey::from_bytes([0; 32]) },
        table_key: Secret::ZERO,
        macs: MacKeys::BLANK,
        checker: Checker::new(),
    };

    /// The static keys, unless the device has none.
    pub(crate) fn keys(&self) -> Option<&StaticKeys> {
        self.is_set.then_some(&self.keys)
    }

    /// Puts a key into its place, or wipes it; false when nothing changed.
    pub(crate) fn set(&mut self, key: Option<&PrivateKey>) -> bool {
        let Some(key) = key else {
            let was_set = core::mem::replace(&mut self.is_set, false);
            self.keys.private.wipe();
            return was_set;
        };
        if self.is_set && crypto::equal(self.keys.private.as_bytes(), key.expose()) {
            return false;
        }
        *self.keys.private.as_mut() = *key.expose();
        *self.table_key.as_mut() = crypto::hash(&[LABEL_TABLE, key.expose()]);
        self.keys.public = key.public_key();
        self.macs = MacKeys::new(&self.keys.public);
        self.is_set = true;
        true
    }

    pub(crate) fn wipe(&mut self) {
        self.is_set = false;
        self.keys.private.wipe();
        self.table_key.wipe();
        self.checker.wipe();
    }
}
