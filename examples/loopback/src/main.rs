//! Two WireGuard engines in one process, and one packet through the tunnel between them.
//!
//! The engines do no input and output of their own: this program carries every datagram from
//! one to the other, and says what it carries. A real one has a socket in its place.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time;

use chacha20::ChaCha20Rng;
use chacha20::rand_core::SeedableRng;
use getrandom::SysRng;
use wg_core::{
    Device, INITIATION_LEN, Increasing, Instant, PeerId, PrivateKey, Received, SendError, Storage,
    Tai64nClock,
};

const PING: &[u8; 28] = b"\x45\0\0\x1c\0\0\0\0\x40\x01\0\0\x0a\0\0\x01\x0a\0\0\x02ping .. ";

struct Side<'a> {
    name: &'static str,
    address: SocketAddr,
    device: Device<'a>,
    peer: PeerId,
    rng: ChaCha20Rng,
}

fn main() -> Result<(), Box<dyn Error>> {
    // An identity for each side, and memory for one peer with one allowed IP.
    let alice_key = PrivateKey::generate(&mut rng()?);
    let bob_key = PrivateKey::generate(&mut rng()?);
    let (mut alice_memory, mut bob_memory) = (Storage::<1, 1>::new(), Storage::<1, 1>::new());

    // Alice knows where Bob is. Bob learns where Alice is when she calls.
    let mut alice =
        side("alice", "192.0.2.1:1", Device::new(&mut alice_memory), &alice_key, &bob_key)?;
    let mut bob = side("bob", "192.0.2.2:2", Device::new(&mut bob_memory), &bob_key, &alice_key)?;
    alice.device.add_allowed_ip(alice.peer, "10.0.0.2/32".parse()?)?;
    bob.device.add_allowed_ip(bob.peer, "10.0.0.1/32".parse()?)?;
    alice.device.set_endpoint(now(), alice.peer, bob.address);

    // The first packet finds no session: it waits, and the engine asks for a handshake.
    let mut buf = with_room(PING);
    let sealed = alice.device.seal(now(), &mut buf, PING.len());
    assert_eq!(sealed, Err(SendError::NoSession(alice.peer)), "the packet has to wait");

    // Initiation, response, and the session is there.
    let mut initiation = [0; INITIATION_LEN];
    let sent = alice.device.poll_transmit(now(), &mut clock(), &mut alice.rng, &mut initiation);
    let mut initiation = sent.ok_or("no initiation")?.datagram.to_vec();
    let mut response = bob.receive(&alice, &mut initiation)?.ok_or("no response")?;
    alice.receive(&bob, &mut response)?;
    println!("alice: {:?}", alice.device.poll_event());

    // Now the packet can go. It is sealed in the buffer that it waited in.
    let sealed = alice.device.seal(now(), &mut buf, PING.len())?;
    println!("alice: {} bytes of packet in {} of datagram", PING.len(), sealed.datagram.len());
    let mut datagram = sealed.datagram.to_vec();
    bob.receive(&alice, &mut datagram)?;

    let status = bob.device.peer(now(), bob.peer).ok_or("no peer")?;
    println!("bob: {:?}, received {} bytes", status.connection, status.received_bytes);
    Ok(())
}

fn side<'a>(
    name: &'static str,
    address: &str,
    mut device: Device<'a>,
    ours: &PrivateKey,
    theirs: &PrivateKey,
) -> Result<Side<'a>, Box<dyn Error>> {
    device.set_private_key(now(), Some(ours));
    let peer = device.add_peer(&theirs.public_key())?;
    Ok(Side { name, address: address.parse()?, device, peer, rng: rng()? })
}

impl Side<'_> {
    /// Takes a datagram from the other side, and returns what is to be sent back.
    fn receive(
        &mut self,
        from: &Side<'_>,
        datagram: &mut [u8],
    ) -> Result<Option<Vec<u8>>, Box<dyn Error>> {
        let len = datagram.len();
        print!("{}: {len} bytes from {}: ", self.name, from.name);
        let source = from.address.into();
        match self.device.handle_datagram(now(), &mut self.rng, source, datagram)? {
            Received::Reply(reply) => {
                println!("answered by {} bytes", reply.datagram.len());
                return Ok(Some(reply.datagram.to_vec()));
            }
            Received::Packet { packet, .. } => {
                println!("a packet, {:?}", String::from_utf8_lossy(&packet[20..]));
            }
            other => println!("{other:?}"),
        }
        Ok(None)
    }
}

/// The packet with 16 bytes of head room, and room behind for padding and a tag.
fn with_room(packet: &[u8]) -> Vec<u8> {
    [&[0; 16], packet, &[0; 15 + 16]].concat()
}

fn rng() -> Result<ChaCha20Rng, getrandom::Error> {
    ChaCha20Rng::try_from_rng(&mut SysRng)
}

fn clock() -> impl Tai64nClock {
    Increasing::new(|| time::SystemTime::UNIX_EPOCH.elapsed().ok(), None)
}

/// Monotonic time. A device that sleeps needs a clock that counts that, too.
fn now() -> Instant {
    static START: LazyLock<time::Instant> = LazyLock::new(time::Instant::now);
    Instant::from_micros(START.elapsed().as_micros() as u64)
}
