// The public types of wg-core that hold something, by the name under which `cargo xtask size`
// prints them. Included by the image and by the task, so both measure the same list.
macro_rules! public_types {
    ($apply:ident) => {
        $apply! {
            "Storage<1, 2>": wg_core::Storage<1, 2>,
            "Storage<1, 3>": wg_core::Storage<1, 3>,
            "Storage<2, 2>": wg_core::Storage<2, 2>,
            "Storage<8, 16>": wg_core::Storage<8, 16>,
            "Device": wg_core::Device<'static>,
            "PeerId": wg_core::PeerId,
            "PeerStatus": wg_core::PeerStatus,
            "Connection": wg_core::Connection,
            "Refusal": wg_core::Refusal,
            "Refusals": wg_core::Refusals,
            "Event": wg_core::Event,
            "Reason": wg_core::Reason,
            "Instant": wg_core::Instant,
            "Tai64n": wg_core::Tai64n,
            "Source": wg_core::Source,
            "Endpoint": wg_core::Endpoint,
            "Transmit": wg_core::Transmit<'static>,
            "Received": wg_core::Received<'static>,
            "OpenJob": wg_core::OpenJob,
            "Opened": wg_core::Opened<'static>,
            "Forged": wg_core::Forged,
            "SealJob": wg_core::SealJob,
            "Sealed": wg_core::Sealed<'static>,
            "SendError": wg_core::SendError,
            "AllowedIp": wg_core::AllowedIp,
            "PrivateKey": wg_core::PrivateKey,
            "PublicKey": wg_core::PublicKey,
            "PresharedKey": wg_core::PresharedKey,
            "KeyText": wg_core::KeyText,
            "config::Config": wg_core::config::Config<'static>,
            "config::Peers": wg_core::config::Peers<'static>,
            "config::Peer": wg_core::config::Peer<'static>,
            "config::ParseError": wg_core::config::ParseError,
        }
    };
}
