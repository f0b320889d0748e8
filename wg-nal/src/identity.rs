//! A board's private key, made at its first start and kept.

// As in `store`: firmware's futures stay on their core.
#![allow(async_fn_in_trait)]

use core::fmt;

use rand_core::CryptoRng;
use wg_core::{PrivateKey, PublicKey};
use zeroize::Zeroizing;

use crate::store::{Record, Store};

/// The key pair that a board is known by.
///
/// ```
/// # use wg_nal::{Record, Store};
/// # struct Flash;
/// # impl Store for Flash {
/// #     type Error = ();
/// #     async fn load(&mut self, _: Record, _: &mut [u8]) -> Result<bool, ()> { Ok(false) }
/// #     async fn save(&mut self, _: Record, _: &[u8]) -> Result<(), ()> { Ok(()) }
/// # }
/// # async fn start(mut store: Flash, mut rng: wg_nal::Drbg) {
/// use wg_nal::Identity;
///
/// match Identity::load_or_generate(&mut store, &mut rng).await {
///     Ok(identity) => {
///         // To be entered at the gateway: log it, or show it on a display.
///         let _public_key = identity.public_key;
///     }
///     Err(_error) => { /* its sentence says what to do */ }
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct Identity {
    /// The secret half, for `Device::set_private_key`.
    pub private_key: PrivateKey,
    /// The half that peers know.
    pub public_key: PublicKey,
    /// Whether the board had it already.
    pub origin: Origin,
}

/// Where an [`Identity`] came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Origin {
    /// It was in the store.
    Kept,
    /// The store had none, so it was generated: no peer knows it yet.
    Generated,
}

impl Identity {
    /// Reads the key pair of `store`, or generates and keeps one where there is none.
    ///
    /// The private and the public key are two records that vouch for each other, so a private
    /// key that is damaged or gone is noticed, and never replaced. A key is handed out only
    /// after it was kept and read back. A power cut or a dropped future at any point leaves no
    /// key, or a key that the next start finds. Costs one X25519.
    ///
    /// A store that was erased altogether looks like a new board's: then the answer is a new
    /// key, and [`Origin::Generated`].
    ///
    /// # Errors
    ///
    /// The store fails, or its keys do not belong together: [`IdentityError`] says what to do.
    pub async fn load_or_generate<S: Store>(
        store: &mut S,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<Self, IdentityError<S::Error>> {
        let mut public = [0; 32];
        let has_public = store.load(Record::PublicKey, &mut public).await?;
        let public = has_public.then_some(PublicKey::from_bytes(public));

        let mut origin = Origin::Kept;
        let mut kept = load_private_key(store).await?;
        if kept.is_none() {
            if let Some(public_key) = public {
                return Err(IdentityError::Lost(public_key));
            }
            origin = Origin::Generated;
            // The private key first: alone it is a start that was interrupted, and good.
            let generated = PrivateKey::generate(rng);
            store.save(Record::PrivateKey, generated.expose()).await?;
            kept = load_private_key(store).await?;
            if kept.as_ref() != Some(&generated) {
                return Err(IdentityError::NotKept);
            }
        }
        let private_key = kept.ok_or(IdentityError::NotKept)?;
        let public_key = private_key.public_key();
        match public {
            Some(expected) if expected != public_key => Err(IdentityError::Damaged(expected)),
            Some(_) => Ok(Self { private_key, public_key, origin }),
            None => {
                store.save(Record::PublicKey, public_key.as_bytes()).await?;
                Ok(Self { private_key, public_key, origin })
            }
        }
    }
}

async fn load_private_key<S: Store>(
    store: &mut S,
) -> Result<Option<PrivateKey>, IdentityError<S::Error>> {
    let mut bytes = Zeroizing::new([0; 32]);
    if !store.load(Record::PrivateKey, &mut *bytes).await? {
        return Ok(None);
    }
    PrivateKey::from_bytes(*bytes).map(Some).ok_or(IdentityError::Zero)
}

/// Why a board has no identity. Nothing was replaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum IdentityError<E> {
    /// The store failed.
    Store(E),
    /// The private key of this public key is gone.
    Lost(PublicKey),
    /// What is kept is not the private key of this public key.
    Damaged(PublicKey),
    /// The private key that is kept is all zero.
    Zero,
    /// The store took a new key, and gave back another or none.
    NotKept,
}

impl<E> From<E> for IdentityError<E> {
    fn from(error: E) -> Self {
        Self::Store(error)
    }
}

impl<E: fmt::Display> fmt::Display for IdentityError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const REMEDY: &str = "restore it, or erase the store for a new identity";
        match self {
            Self::Store(error) => write!(f, "the private key cannot be read or kept: {error}"),
            Self::Lost(key) => write!(f, "the private key of {key} is gone: {REMEDY}"),
            Self::Damaged(key) => write!(f, "the private key of {key} is damaged: {REMEDY}"),
            Self::Zero => write!(f, "the private key is all zero: {REMEDY}"),
            Self::NotKept => f.write_str(
                "the store did not keep a new private key: check that it is writable, then retry",
            ),
        }
    }
}

impl<E: core::error::Error> core::error::Error for IdentityError<E> {}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::collections::HashMap;
    use std::format;
    use std::string::ToString;
    use std::vec::Vec;

    use embassy_futures::block_on;
    use rand_core::{TryCryptoRng, TryRng};

    use super::*;
    use crate::Drbg;

    struct Source(u8);

    impl TryRng for Source {
        type Error = core::convert::Infallible;

        fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
            Ok(0)
        }

        fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
            Ok(0)
        }

        fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
            bytes.fill_with(|| {
                self.0 = self.0.wrapping_add(1);
                self.0
            });
            Ok(())
        }
    }

    impl TryCryptoRng for Source {}

    /// Memory that fails once it was written to so often.
    struct Memory {
        records: HashMap<Record, Vec<u8>>,
        writes_left: usize,
        forgets: bool,
        garbles: bool,
    }

    impl Memory {
        fn new() -> Self {
            Self {
                records: HashMap::new(),
                writes_left: usize::MAX,
                forgets: false,
                garbles: false,
            }
        }
    }

    impl Store for Memory {
        type Error = &'static str;

        async fn load(&mut self, record: Record, value: &mut [u8]) -> Result<bool, Self::Error> {
            let found = self.records.get(&record);
            found.inspect(|found| value.copy_from_slice(found));
            Ok(found.is_some())
        }

        async fn save(&mut self, record: Record, value: &[u8]) -> Result<(), Self::Error> {
            self.writes_left = self.writes_left.checked_sub(1).ok_or("read only")?;
            let mut value = Vec::from(value);
            if self.garbles {
                value[7] ^= 1;
            }
            if !self.forgets {
                self.records.insert(record, value);
            }
            Ok(())
        }
    }

    fn load(memory: &mut Memory, seed: u8) -> Result<Identity, IdentityError<&'static str>> {
        let mut rng = Drbg::try_new(&mut Source(seed)).unwrap();
        block_on(Identity::load_or_generate(memory, &mut rng))
    }

    #[test]
    fn a_board_makes_its_key_once_and_keeps_it() {
        let mut memory = Memory::new();
        let first = load(&mut memory, 1).unwrap();
        assert_eq!(first.origin, Origin::Generated);
        let second = load(&mut memory, 2).unwrap();
        assert_eq!(second.origin, Origin::Kept);
        assert!(first.private_key == second.private_key);
        assert_eq!(first.public_key, first.private_key.public_key());
        assert_ne!(load(&mut Memory::new(), 2).unwrap().public_key, first.public_key);
        let secret = first.private_key.expose_base64();
        assert!(!format!("{first:?}").contains(secret.as_str()));
    }

    #[test]
    fn a_first_start_interrupted_anywhere_is_made_good_by_the_next() {
        for writes in 0..2 {
            let mut memory = Memory::new();
            memory.writes_left = writes;
            assert_eq!(load(&mut memory, 1).unwrap_err(), IdentityError::Store("read only"));
            memory.writes_left = usize::MAX;
            let identity = load(&mut memory, 2).unwrap();
            let is_first = [Origin::Generated, Origin::Kept][writes];
            assert_eq!(identity.origin, is_first);
            assert_eq!(load(&mut memory, 3).unwrap().public_key, identity.public_key);
        }
    }

    #[test]
    fn a_key_that_is_gone_or_changed_in_any_bit_is_an_error_and_stays_as_it_is() {
        let mut memory = Memory::new();
        let public_key = load(&mut memory, 1).unwrap().public_key;
        let good = memory.records.clone();

        memory.records.remove(&Record::PrivateKey);
        assert_eq!(load(&mut memory, 2).unwrap_err(), IdentityError::Lost(public_key));
        assert!(!memory.records.contains_key(&Record::PrivateKey));

        // Clamping sets or clears five bits of the 256, whatever they were.
        let clamped = [0, 1, 2, 254, 255];
        for bit in (0..256).filter(|bit| !clamped.contains(bit)) {
            memory.records = good.clone();
            memory.records.get_mut(&Record::PrivateKey).unwrap()[bit / 8] ^= 1 << (bit % 8);
            let damaged = memory.records.clone();
            assert_eq!(load(&mut memory, 2).unwrap_err(), IdentityError::Damaged(public_key));
            assert_eq!(memory.records, damaged);
        }
        memory.records.insert(Record::PrivateKey, [0; 32].into());
        assert_eq!(load(&mut memory, 2).unwrap_err(), IdentityError::Zero);
        assert!(
            IdentityError::<&str>::Lost(public_key).to_string().contains(&public_key.to_string())
        );
    }

    #[test]
    fn a_key_that_the_store_does_not_keep_is_never_handed_out() {
        let mut memory = Memory::new();
        memory.forgets = true;
        assert_eq!(load(&mut memory, 1).unwrap_err(), IdentityError::NotKept);
        let mut memory = Memory::new();
        memory.garbles = true;
        assert_eq!(load(&mut memory, 1).unwrap_err(), IdentityError::NotKept);
    }
}
