//! `wg-tokio genkey`, `genpsk` and `pubkey`.

use std::io::{self, Read};

use wg_core::{PresharedKey, PrivateKey};
use zeroize::Zeroizing;

use crate::{Failure, print};

pub(crate) fn genkey() -> Result<(), Failure> {
    print(PrivateKey::generate(&mut wg_tokio::system_random()?).expose_base64().as_str())
}

pub(crate) fn genpsk() -> Result<(), Failure> {
    print(PresharedKey::generate(&mut wg_tokio::system_random()?).expose_base64().as_str())
}

pub(crate) fn pubkey() -> Result<(), Failure> {
    let mut text = Zeroizing::new(String::with_capacity(64));
    // One more byte than a key and its line end tells that there is too much.
    let read = io::stdin().take(64).read_to_string(&mut text);
    read.map_err(|error| Failure::Trouble(format!("cannot read the private key: {error}")))?;
    match text.trim().parse::<PrivateKey>() {
        Ok(key) => print(&key.public_key().to_string()),
        Err(error) => Err(Failure::Usage(format!("standard input is no private key: {error}"))),
    }
}
