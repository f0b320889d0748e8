//! UDP between the guest and the hosts on our end of the cable, with the troubles of a
//! network on demand.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use anyhow::{Result, bail};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, IpProtocol, Ipv4Packet, Ipv4Repr, Ipv6Packet,
    Ipv6Repr, UdpPacket, UdpRepr,
};

use super::neighbours::{answer, framed};
use super::{Cable, Pcap};
use crate::kernel::GUEST_MAC;
use crate::peer::Underlay;

/// The card that all our hosts share.
const OUR_MAC: EthernetAddress = EthernetAddress([0x52, 0x54, 0x00, 0x00, 0x00, 0x02]);
const THEIR_MAC: EthernetAddress = EthernetAddress(GUEST_MAC);

/// In the two low bits of the traffic class.
const CONGESTION_EXPERIENCED: u8 = 3;

/// A UDP datagram with its addresses and the IP header's traffic class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Datagram {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    /// DSCP and ECN.
    pub(crate) traffic_class: u8,
    pub(crate) payload: Vec<u8>,
}

/// What happens to datagrams on their way, in each direction.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// How many of a hundred datagrams are lost.
    pub(crate) loss_percent: u32,
    /// How many of a hundred come twice.
    pub(crate) duplicate_percent: u32,
    /// How much later each comes, and up to as much again at random: they overtake.
    pub(crate) delay: Duration,
}

/// Our end of the cable.
pub(crate) struct Wire {
    cable: Cable,
    hosts: Vec<IpAddr>,
    faults: Faults,
    /// Every datagram is marked: congestion experienced.
    congested: bool,
    /// The message type that never arrives.
    lost_type: Option<u8>,
    chance: fastrand::Rng,
    /// To the guest, each with the time at which it is due.
    outgoing: VecDeque<(Instant, Vec<u8>)>,
    incoming: VecDeque<(Instant, Datagram)>,
    pcap: Option<Pcap>,
    /// Everything received and sent since `record`.
    recorded: Option<Vec<Datagram>>,
}

impl Wire {
    pub(crate) fn new(cable: Cable, pcap: Option<Pcap>) -> Self {
        Self {
            cable,
            hosts: Vec::new(),
            faults: Faults::default(),
            congested: false,
            lost_type: None,
            chance: fastrand::Rng::with_seed(1),
            outgoing: VecDeque::new(),
            incoming: VecDeque::new(),
            pcap,
            recorded: None,
        }
    }

    /// Takes `addresses` as the hosts on our end, in place of those before.
    pub(crate) fn set_hosts(&mut self, addresses: &[IpAddr]) {
        addresses.clone_into(&mut self.hosts);
    }

    /// Sets what happens to datagrams from now on.
    pub(crate) fn set_faults(&mut self, faults: Faults) {
        self.faults = faults;
    }

    /// Marks every datagram from now on as one that met congestion, or none.
    pub(crate) fn set_congested(&mut self, congested: bool) {
        self.congested = congested;
    }

    /// Loses every datagram of this message type from now on, or none.
    pub(crate) fn set_lost_type(&mut self, message_type: Option<u8>) {
        self.lost_type = message_type;
    }

    /// Begins a record of datagrams, in place of the one before.
    pub(crate) fn record(&mut self) {
        self.recorded = Some(Vec::new());
    }

    /// The datagrams since `record`, both ways, in order.
    pub(crate) fn recorded(&self) -> &[Datagram] {
        self.recorded.as_deref().unwrap_or_default()
    }

    /// When the next datagram that the wire holds back is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let incoming = self.incoming.iter().map(|(due, _)| *due);
        incoming.chain(self.outgoing.iter().map(|(due, _)| *due)).min()
    }

    /// Hands frames that are due to the emulator, as far as it takes them.
    fn flush(&mut self) -> Result<()> {
        while let Some(frame) = take_due(&mut self.outgoing) {
            if !self.cable.send(&frame)? {
                self.outgoing.push_front((Instant::now(), frame));
                break;
            }
            if let Some(pcap) = &mut self.pcap {
                pcap.record(&frame)?;
            }
        }
        Ok(())
    }

    fn note(&mut self, datagram: &Datagram) {
        if let Some(recorded) = &mut self.recorded {
            recorded.push(datagram.clone());
        }
    }

    /// Lets our hosts hear a datagram that nobody sent.
    pub(crate) fn hear(&mut self, datagram: &Datagram) {
        self.incoming.push_back((Instant::now(), datagram.clone()));
    }

    fn copies(&mut self, datagram: &Datagram) -> u32 {
        if self.lost_type.is_some_and(|lost| datagram.payload.first() == Some(&lost)) {
            return 0;
        }
        if self.chance.u32(..100) < self.faults.loss_percent {
            0
        } else if self.chance.u32(..100) < self.faults.duplicate_percent {
            2
        } else {
            1
        }
    }

    fn marked(&self, datagram: &Datagram) -> Datagram {
        let mark = if self.congested { CONGESTION_EXPERIENCED } else { 0 };
        Datagram { traffic_class: datagram.traffic_class | mark, ..datagram.clone() }
    }

    fn due(&mut self) -> Instant {
        Instant::now() + self.faults.delay.mul_f64(1.0 + self.chance.f64())
    }
}

impl Underlay for Wire {
    fn send(&mut self, datagram: &Datagram) -> Result<()> {
        let frame = emit(&self.marked(datagram))?;
        self.note(datagram);
        for _ in 0..self.copies(datagram) {
            let due = self.due();
            self.outgoing.push_back((due, frame.clone()));
        }
        self.flush()
    }

    /// The next datagram from the guest to one of our hosts. Questions for our hosts' cards
    /// are answered on the way.
    fn receive(&mut self) -> Result<Option<Datagram>> {
        self.flush()?;
        let mut buffer = [0; 2048];
        while let Some(length) = self.cable.receive(&mut buffer)? {
            let frame = &buffer[..length];
            if let Some(pcap) = &mut self.pcap {
                pcap.record(frame)?;
            }
            if let Some(reply) = answer(frame, OUR_MAC, |address| self.hosts.contains(&address)) {
                self.outgoing.push_back((Instant::now(), reply));
                self.flush()?;
            } else if let Some(datagram) = parse(frame)
                && self.hosts.contains(&datagram.to.ip())
            {
                self.note(&datagram);
                for _ in 0..self.copies(&datagram) {
                    let (due, marked) = (self.due(), self.marked(&datagram));
                    self.incoming.push_back((due, marked));
                }
            }
        }
        Ok(take_due(&mut self.incoming))
    }
}

impl AsFd for Wire {
    /// Readable when a frame comes.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.cable.as_fd()
    }
}

/// Takes the first element that is due; without delay that is the first.
pub(super) fn take_due<T>(queue: &mut VecDeque<(Instant, T)>) -> Option<T> {
    let now = Instant::now();
    let position = queue.iter().position(|(due, _)| *due <= now)?;
    queue.remove(position).map(|(_, element)| element)
}

/// The frame that carries a datagram to the kernel's card.
pub(crate) fn emit(datagram: &Datagram) -> Result<Vec<u8>> {
    let checksums = ChecksumCapabilities::default();
    let udp = UdpRepr { src_port: datagram.from.port(), dst_port: datagram.to.port() };
    let payload_len = udp.header_len() + datagram.payload.len();
    let emit_udp = |body: &mut [u8]| {
        udp.emit(
            &mut UdpPacket::new_unchecked(body),
            &datagram.from.ip().into(),
            &datagram.to.ip().into(),
            datagram.payload.len(),
            |payload| payload.copy_from_slice(&datagram.payload),
            &checksums,
        );
    };
    Ok(match (datagram.from.ip(), datagram.to.ip()) {
        (IpAddr::V4(src_addr), IpAddr::V4(dst_addr)) => {
            let ip = Ipv4Repr {
                src_addr,
                dst_addr,
                next_header: IpProtocol::Udp,
                payload_len,
                hop_limit: 64,
            };
            let length = ip.buffer_len() + payload_len;
            framed(OUR_MAC, THEIR_MAC, EthernetProtocol::Ipv4, length, |body| {
                let mut packet = Ipv4Packet::new_unchecked(body);
                ip.emit(&mut packet, &checksums);
                packet.set_dscp(datagram.traffic_class >> 2);
                packet.set_ecn(datagram.traffic_class & 3);
                packet.fill_checksum();
                emit_udp(packet.payload_mut());
            })
        }
        (IpAddr::V6(src_addr), IpAddr::V6(dst_addr)) => {
            let ip = Ipv6Repr {
                src_addr,
                dst_addr,
                next_header: IpProtocol::Udp,
                payload_len,
                hop_limit: 64,
            };
            let length = ip.buffer_len() + payload_len;
            framed(OUR_MAC, THEIR_MAC, EthernetProtocol::Ipv6, length, |body| {
                let mut packet = Ipv6Packet::new_unchecked(body);
                ip.emit(&mut packet);
                packet.set_traffic_class(datagram.traffic_class);
                emit_udp(packet.payload_mut());
            })
        }
        (from, to) => bail!("no way from {from} to {to}"),
    })
}

/// The UDP datagram in a frame, if it is one and its checksums are right.
pub(crate) fn parse(frame: &[u8]) -> Option<Datagram> {
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    let (from, to, traffic_class, protocol, payload): (IpAddr, IpAddr, _, _, _) =
        match ethernet.ethertype() {
            EthernetProtocol::Ipv4 => {
                let packet = Ipv4Packet::new_checked(ethernet.payload()).ok()?;
                let class = (packet.dscp() << 2) | packet.ecn();
                let (from, to) = (packet.src_addr(), packet.dst_addr());
                (from.into(), to.into(), class, packet.next_header(), packet.payload())
            }
            EthernetProtocol::Ipv6 => {
                let packet = Ipv6Packet::new_checked(ethernet.payload()).ok()?;
                let class = packet.traffic_class();
                let (from, to) = (packet.src_addr(), packet.dst_addr());
                (from.into(), to.into(), class, packet.next_header(), packet.payload())
            }
            _ => return None,
        };
    let udp = UdpPacket::new_checked(payload).ok().filter(|_| protocol == IpProtocol::Udp)?;
    udp.verify_checksum(&from.into(), &to.into()).then(|| Datagram {
        from: SocketAddr::new(from, udp.src_port()),
        to: SocketAddr::new(to, udp.dst_port()),
        traffic_class,
        payload: udp.payload().to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(from: &str, to: &str) -> Datagram {
        Datagram {
            from: from.parse().expect("an address"),
            to: to.parse().expect("an address"),
            traffic_class: 0x88,
            payload: b"payload".to_vec(),
        }
    }

    #[test]
    fn what_is_sent_is_what_is_parsed() {
        for sent in
            [datagram("10.0.0.1:1", "10.0.0.2:65535"), datagram("[fd00::1]:1", "[fd00::2]:65535")]
        {
            let mut frame = emit(&sent).expect("a frame");
            assert_eq!(parse(&frame).as_ref(), Some(&sent));
            *frame.last_mut().expect("bytes") ^= 1;
            assert_eq!(parse(&frame), None, "a broken checksum is nothing of ours");
        }
    }

    #[test]
    fn mixed_families_have_no_way() {
        assert!(emit(&datagram("10.0.0.1:1", "[fd00::2]:1")).is_err());
    }
}
