//! Datagrams on their way out, joined into trains that the kernel cuts up.

use core::ops::Range;

use wg_core::{Endpoint, Transmit};

/// Datagrams in a train: the kernel takes no more.
const CARS: usize = 64;
/// Bytes in a train: what fits a datagram with the longest of headers.
const TRAIN_LEN: usize = 65_000;

/// Datagrams in the order in which they are to leave.
#[derive(Default, Debug)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    trains: Vec<Plan>,
}

#[derive(Debug)]
struct Plan {
    to: Endpoint,
    traffic_class: u8,
    segment: usize,
    bytes: Range<usize>,
}

/// Datagrams of equal length to one place, and perhaps a shorter one at the end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Train<'o> {
    pub(crate) to: Endpoint,
    pub(crate) traffic_class: u8,
    /// The length of each datagram but the last.
    pub(crate) segment: usize,
    pub(crate) datagrams: &'o [u8],
}

impl Outbox {
    pub(crate) fn push(&mut self, transmit: &Transmit<'_>) {
        let Transmit { to, traffic_class, datagram, .. } = transmit;
        let start = self.bytes.len();
        self.bytes.extend_from_slice(datagram);
        let end = self.bytes.len();
        match self.trains.last_mut() {
            Some(train) if train.takes(*to, *traffic_class, datagram.len()) => {
                train.bytes.end = end;
            }
            _ => self.trains.push(Plan {
                to: *to,
                traffic_class: *traffic_class,
                segment: datagram.len(),
                bytes: start..end,
            }),
        }
    }

    pub(crate) fn trains(&self) -> impl Iterator<Item = Train<'_>> {
        self.trains.iter().map(|train| Train {
            to: train.to,
            traffic_class: train.traffic_class,
            segment: train.segment,
            datagrams: self.bytes.get(train.bytes.clone()).unwrap_or_default(),
        })
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.trains.clear();
    }
}

impl Plan {
    fn takes(&self, to: Endpoint, traffic_class: u8, len: usize) -> bool {
        let full = self.bytes.len().is_multiple_of(self.segment);
        self.to == to
            && self.traffic_class == traffic_class
            // Whoever is shorter is the last.
            && full
            && len <= self.segment
            && self.bytes.len().checked_div(self.segment).is_some_and(|cars| cars < CARS)
            && self.bytes.len() + len <= TRAIN_LEN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbox(datagrams: &[(u16, u8, usize)]) -> Vec<(u16, u8, usize, usize)> {
        let mut outbox = Outbox::default();
        for &(port, traffic_class, len) in datagrams {
            let remote = ([127, 0, 0, 1], port).into();
            let to = Endpoint { remote, local: None };
            let datagram = &mut vec![port as u8; len];
            outbox.push(&Transmit { peer: None, to, traffic_class, datagram });
        }
        let trains = outbox.trains();
        trains
            .map(|train| {
                let port = train.to.remote.port();
                assert!(train.datagrams.iter().all(|byte| *byte == port as u8));
                (port, train.traffic_class, train.segment, train.datagrams.len())
            })
            .collect()
    }

    #[test]
    fn equal_datagrams_are_a_train_that_a_shorter_one_ends() {
        assert_eq!(
            outbox(&[(1, 0, 100), (1, 0, 100), (1, 0, 99), (1, 0, 99)]),
            [(1, 0, 100, 299), (1, 0, 99, 99)]
        );
        assert_eq!(outbox(&[(1, 0, 99), (1, 0, 100)]), [(1, 0, 99, 99), (1, 0, 100, 100)]);
    }

    #[test]
    fn another_place_or_class_is_another_train() {
        assert_eq!(
            outbox(&[(1, 0, 9), (2, 0, 9), (1, 0, 9)]),
            [(1, 0, 9, 9), (2, 0, 9, 9), (1, 0, 9, 9)]
        );
        assert_eq!(outbox(&[(1, 0, 9), (1, 2, 9)]), [(1, 0, 9, 9), (1, 2, 9, 9)]);
    }

    #[test]
    fn a_train_has_at_most_64_datagrams_and_fits_one() {
        let trains = outbox(&[(1, 0, 32); 65]);
        assert_eq!(trains, [(1, 0, 32, 64 * 32), (1, 0, 32, 32)]);
        let trains = outbox(&[(1, 0, 1452); 60]);
        assert_eq!(trains, [(1, 0, 1452, 44 * 1452), (1, 0, 1452, 16 * 1452)]);
    }
}
