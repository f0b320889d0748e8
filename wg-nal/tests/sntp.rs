//! The time of day from servers that answer well, badly, late or not at all.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::{Future, pending};
use std::net::SocketAddr;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use embassy_futures::{block_on, yield_now};
use rand_core::{TryCryptoRng, TryRng};
use wg_nal::sntpc::{self, NtpUdpSocket};
use wg_nal::wg_core::Instant;
use wg_nal::{Sntp, SntpError, WallClock};

const TODAY: u64 = 1_800_000_000;
/// Seconds from NTP's epoch to Unix'.
const NTP: u64 = 2_208_988_800;

type Edit = fn(&mut [u8; 48]);

/// A server that answers after a second, and what it does to its answers.
struct Server {
    now: Cell<Instant>,
    questions: RefCell<Vec<(Instant, [u8; 48])>>,
    edit: Cell<Edit>,
    answers: Cell<bool>,
    address: Cell<SocketAddr>,
}

fn address() -> SocketAddr {
    "192.0.2.1:123".parse().unwrap()
}

impl Server {
    fn new() -> Self {
        Self {
            now: Cell::new(Instant::from_secs(100)),
            questions: RefCell::default(),
            edit: Cell::new(|_| ()),
            answers: Cell::new(true),
            address: Cell::new(address()),
        }
    }

    async fn sleep(&self, wait: Duration) {
        // The answer of a server that answers is there first.
        yield_now().await;
        yield_now().await;
        self.now.set(self.now.get().saturating_add(wait));
    }

    fn ask(&self, sntp: &mut Sntp, wall: &WallClock) -> Result<Duration, SntpError> {
        let now = || self.now.get();
        block_on(sntp.ask(&self, wall, &mut Counter(0), now, |wait| self.sleep(wait)))
    }

    /// Time of day at the server: today, at second 100 of the board.
    fn unix(&self) -> u64 {
        TODAY - 100 + self.now.get().as_micros() / 1_000_000
    }
}

impl NtpUdpSocket for &Server {
    async fn send_to(&self, bytes: &[u8], to: SocketAddr) -> sntpc::Result<usize> {
        assert_eq!(to, address());
        self.questions.borrow_mut().push((self.now.get(), bytes.try_into().unwrap()));
        Ok(bytes.len())
    }

    async fn recv_from(&self, bytes: &mut [u8]) -> sntpc::Result<(usize, SocketAddr)> {
        if !self.answers.get() {
            pending::<()>().await;
        }
        self.now.set(self.now.get().saturating_add(Duration::from_secs(1)));
        let (_, question) = *self.questions.borrow().last().unwrap();
        let mut answer = [0; 48];
        answer[0] = 0b00_100_100; // no leap, version 4, server
        answer[1] = 2;
        answer[24..32].copy_from_slice(&question[40..48]);
        // Halfway, so half a second ago.
        let stamp = (((self.unix() + NTP) << 32) - (1 << 31)).to_be_bytes();
        answer[16..24].copy_from_slice(&stamp);
        answer[32..40].copy_from_slice(&stamp);
        answer[40..48].copy_from_slice(&stamp);
        (self.edit.get())(&mut answer);
        bytes[..48].copy_from_slice(&answer);
        Ok((48, self.address.get()))
    }
}

struct Counter(u64);

impl TryRng for Counter {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(0)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        Ok(self.0)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.fill(0);
        Ok(())
    }
}

impl TryCryptoRng for Counter {}

#[test]
fn an_answer_sets_the_clock_to_the_moment_it_came() {
    let (server, wall, mut sntp) = (Server::new(), WallClock::new(), Sntp::new(address()));
    let time = server.ask(&mut sntp, &wall).unwrap();
    assert_eq!(time, Duration::from_secs(TODAY + 1));
    assert_eq!(wall.unix_time(Instant::from_secs(111)), Some(Duration::from_secs(TODAY + 11)));
    assert_eq!(sntp.due(), Some(Instant::from_secs(101 + 4_096)));
    assert_eq!(
        server.ask(&mut sntp, &wall),
        Err(SntpError::TooEarly(Some(Instant::from_secs(4_197))))
    );
    assert_eq!(server.questions.borrow().len(), 1);
}

#[test]
fn a_bad_answer_is_a_value_and_leaves_the_clock_alone() {
    let cases: [(Edit, SntpError); 9] = [
        (|answer| answer[40..48].fill(0), SntpError::Refused(sntpc::Error::InvalidTimestamp)),
        (|answer| answer[0] |= 0b11_000_000, SntpError::Unsynchronised),
        (|answer| answer[1] = 16, SntpError::Refused(sntpc::Error::IncorrectStratumHeaders)),
        (|answer| kiss(answer, b"RATE"), SntpError::RateExceeded),
        (|answer| kiss(answer, b"DENY"), SntpError::Denied),
        (|answer| kiss(answer, b"RSTR"), SntpError::Denied),
        (|answer| answer[31] ^= 1, SntpError::Refused(sntpc::Error::IncorrectOriginTimestamp)),
        (|answer| answer[0] = 0b00_100_011, SntpError::Refused(sntpc::Error::IncorrectMode)),
        (|answer| answer[5] = 0xff, SntpError::Refused(sntpc::Error::ExcessiveRootDistance)),
    ];
    for (edit, expected) in cases {
        let (server, wall, mut sntp) = (Server::new(), WallClock::new(), Sntp::new(address()));
        let before = Duration::from_secs(TODAY + 77);
        wall.set(Instant::from_secs(100), before).unwrap();
        server.edit.set(edit);
        assert_eq!(server.ask(&mut sntp, &wall), Err(expected));
        assert_eq!(wall.unix_time(Instant::from_secs(100)), Some(before));
        let due = match expected {
            SntpError::Denied => None,
            SntpError::RateExceeded => Some(Instant::from_secs(101 + 4_096)),
            _ => Some(Instant::from_secs(116)),
        };
        assert_eq!(sntp.due(), due, "{expected}");
    }
}

fn kiss(answer: &mut [u8; 48], code: &[u8; 4]) {
    answer[1] = 0;
    answer[12..16].copy_from_slice(code);
}

#[test]
fn a_server_that_asked_for_fewer_questions_gets_fewer_after_other_failures_too() {
    let (server, wall, mut sntp) = (Server::new(), WallClock::new(), Sntp::new(address()));
    server.edit.set(|answer| kiss(answer, b"RATE"));
    assert_eq!(server.ask(&mut sntp, &wall), Err(SntpError::RateExceeded));
    server.now.set(sntp.due().unwrap());
    server.edit.set(|answer| answer[0] |= 0b11_000_000);
    assert_eq!(server.ask(&mut sntp, &wall), Err(SntpError::Unsynchronised));
    assert_eq!(sntp.due(), Some(Instant::from_secs(101 + 2 * 4_096)));
}

#[test]
fn a_server_whose_clock_was_never_set_is_refused() {
    let (server, wall, mut sntp) = (Server::new(), WallClock::new(), Sntp::new(address()));
    server.edit.set(|answer| {
        // 1970, as a router without a clock has it.
        answer[16..24].fill(0);
        answer[40..44].copy_from_slice(&(NTP as u32).to_be_bytes());
    });
    assert!(matches!(server.ask(&mut sntp, &wall), Err(SntpError::Implausible(_))));
    assert_eq!(wall.unix_time(server.now.get()), None);
}

#[test]
fn an_answer_from_elsewhere_is_refused() {
    let (server, wall, mut sntp) = (Server::new(), WallClock::new(), Sntp::new(address()));
    server.address.set("192.0.2.2:123".parse().unwrap());
    let refused = SntpError::Refused(sntpc::Error::ResponseAddressMismatch);
    assert_eq!(server.ask(&mut sntp, &wall), Err(refused));
}

/// Late answers to earlier questions and datagrams from elsewhere, up to a bound.
#[test]
fn an_answer_is_found_behind_what_is_none() {
    let (server, wall, mut sntp) = (Server::new(), WallClock::new(), Sntp::new(address()));
    server.edit.set(|answer| {
        // Only the answer at the fourth second, sent half a second before, is to this question.
        if answer[35] != (TODAY + NTP + 3).to_be_bytes()[7] {
            answer[24..32].fill(9);
        }
    });
    let time = server.ask(&mut sntp, &wall).unwrap();
    // It came at the fourth second, and is believed to have been half of that under way.
    assert_eq!(time.as_millis(), u128::from(TODAY) * 1_000 + 3_500 + 2_000);
    assert_eq!(server.questions.borrow().len(), 1);
}

#[cfg(feature = "embedded-nal-async")]
#[test]
fn a_server_on_a_real_socket_is_heard_over_embedded_nal_async() {
    use embedded_nal_async::UdpStack;
    use wg_nal::SntpSocket;

    let server = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let answering = std::thread::spawn(move || {
        let mut bytes = [0; 64];
        let (length, from) = server.recv_from(&mut bytes).unwrap();
        assert_eq!(length, 48);
        let mut answer = [0; 48];
        answer[..2].copy_from_slice(&[0b00_100_100, 1]);
        answer[24..32].copy_from_slice(&bytes[40..48]);
        answer[40..44].copy_from_slice(&((TODAY + NTP) as u32).to_be_bytes());
        server.send_to(b"no answer", from).unwrap();
        server.send_to(&answer, from).unwrap();
    });
    let started = std::time::Instant::now();
    let time = block_on(async {
        let stack = std_embedded_nal_async::Stack::default();
        let (local, socket) = stack.bind_single("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let socket = SntpSocket::new(socket, local);
        let now = || Instant::from_micros(started.elapsed().as_micros() as u64);
        let sleep = async |wait| {
            while started.elapsed() < wait {
                yield_now().await;
            }
        };
        let wall = WallClock::new();
        Sntp::new(address).ask(&socket, &wall, &mut Counter(0), now, sleep).await
    });
    answering.join().unwrap();
    assert_eq!(time.unwrap().as_secs(), TODAY);
}

#[test]
fn a_silent_server_is_asked_ever_less_often_and_soon_again_once_it_answered() {
    let (server, wall, mut sntp) = (Server::new(), WallClock::new(), Sntp::new(address()));
    server.answers.set(false);
    let reports = RefCell::new(Vec::new());
    let mut rng = Counter(0);
    {
        let now = || server.now.get();
        let socket = &server;
        let mut task = pin!(sntp.run(
            &socket,
            &wall,
            &mut rng,
            now,
            |wait| server.sleep(wait),
            |it| {
                reports.borrow_mut().push(it);
            }
        ));
        let mut poll = || task.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        while reports.borrow().len() < 12 {
            assert!(poll().is_pending());
        }
        server.answers.set(true);
        while reports.borrow().len() < 13 {
            assert!(poll().is_pending());
        }
        server.answers.set(false);
        while reports.borrow().len() < 15 {
            assert!(poll().is_pending());
        }
        server.answers.set(true);
        server.edit.set(|answer| kiss(answer, b"DENY"));
        while poll() == Poll::Pending {}
    }
    assert!(reports.borrow()[..12].iter().all(|it| *it == Err(SntpError::Unanswered)));
    assert!(reports.borrow()[12].is_ok());
    assert_eq!(reports.borrow().last(), Some(&Err(SntpError::Denied)));
    let questions = server.questions.borrow();
    let gaps: Vec<u64> =
        questions.windows(2).map(|pair| pair[1].0.saturating_since(pair[0].0).as_secs()).collect();
    let doubling = [16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096, 4_096, 4_096, 4_096];
    assert_eq!(gaps[..12], doubling);
    assert_eq!(gaps[12..], [4_097, 16, 32]);
    let nonces: std::collections::HashSet<_> =
        questions.iter().map(|(_, question)| question[40..48].to_vec()).collect();
    assert_eq!(nonces.len(), questions.len());
}
