//! A tunnel as the configuration protocol shows it, and changes it while it runs.

use std::io;
use std::time::SystemTime;

use nix::errno::Errno;
use wg_core::{Instant, PeerId, PresharedKey, PublicKey};
use zeroize::Zeroizing;

use super::Tunnel;
use crate::packets::Packets;
use crate::uapi::{Known, PeerChange, Transaction, describe};
use crate::underlay::Underlay;

impl<P: Packets> Tunnel<P> {
    pub(super) fn describe(&self, now: Instant) -> Zeroizing<String> {
        let known = Known {
            private_key: self.private_key.as_ref(),
            preshared_keys: &self.preshared_keys,
            listen_port: self.underlay.port(),
            fw_mark: self.fw_mark,
        };
        describe(&self.device, now, SystemTime::now(), &known)
    }

    /// Changes all that a transaction says. What can fail comes first, and changes nothing then.
    pub(super) fn configure(
        &mut self,
        now: Instant,
        transaction: &Transaction,
    ) -> Result<(), Errno> {
        self.configure_sockets(transaction).map_err(|error| {
            log::warn!("cannot change the sockets: {error}");
            error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
        })?;
        if let Some(key) = &transaction.private_key {
            self.device.set_private_key(now, key.as_ref());
            self.private_key.clone_from(key);
            // Our own key is no peer any more.
            if let Some(ourselves) = self.device.public_key() {
                self.preshared_keys.remove(&ourselves);
            }
        }
        if transaction.replace_peers {
            let keys: Vec<_> = self.device.peers().collect();
            for id in keys {
                if let Some(peer) = self.device.peer(now, id) {
                    self.remove_peer(&peer.public_key);
                }
            }
        }
        for change in &transaction.peers {
            self.change_peer(now, change);
        }
        Ok(())
    }

    fn configure_sockets(&mut self, transaction: &Transaction) -> io::Result<()> {
        let mark = transaction.fw_mark.unwrap_or(self.fw_mark);
        match transaction.listen_port {
            Some(port) if port != self.underlay.port() => {
                self.underlay = Underlay::bind(port, mark)?;
                log::info!("listening on UDP port {}", self.underlay.port());
            }
            _ if mark != self.fw_mark => self.underlay.set_mark(mark, self.fw_mark)?,
            _ => {}
        }
        self.fw_mark = mark;
        Ok(())
    }

    fn change_peer(&mut self, now: Instant, change: &PeerChange) {
        let key = change.public_key;
        if change.remove {
            return self.remove_peer(&key);
        }
        let peer = match self.device.find_peer(&key) {
            Some(peer) => peer,
            None if change.update_only => return,
            // Our own key is silently no peer; memory grows.
            None => match self.device.add_peer(&key) {
                Ok(peer) => peer,
                Err(_) => return,
            },
        };
        if let Some(preshared) = &change.preshared_key {
            self.set_preshared_key(peer, key, preshared);
        }
        if change.replace_allowed_ips {
            self.device.remove_allowed_ips(peer);
        }
        for &(prefix, adds) in &change.allowed_ips {
            if !adds {
                self.device.remove_allowed_ip(peer, prefix);
            } else if let Err(error) = self.device.add_allowed_ip(peer, prefix) {
                log::error!("cannot add {prefix}: {error}");
            }
        }
        if let Some(endpoint) = change.endpoint {
            self.device.set_endpoint(now, peer, endpoint);
        }
        if let Some(seconds) = change.persistent_keepalive {
            self.device.set_persistent_keepalive(now, peer, seconds);
        }
    }

    pub(super) fn set_preshared_key(&mut self, peer: PeerId, of: PublicKey, key: &PresharedKey) {
        self.device.set_preshared_key(peer, key);
        if key.is_none() {
            self.preshared_keys.remove(&of);
        } else {
            self.preshared_keys.insert(of, key.clone());
        }
    }
}
