//! Whatever a server answers, the clock shows a plausible time or none.
#![no_main]

use std::cell::RefCell;
use std::future::{Ready, pending, ready};
use std::net::SocketAddr;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use wg_nal::sntpc::{self, NtpUdpSocket};
use wg_nal::wg_core::Instant;
use wg_nal::wg_core::rand_core::{TryCryptoRng, TryRng};
use wg_nal::{Sntp, WallClock};

const SERVER: &str = "192.0.2.1:123";

/// Gives the answers one after the other, with the question's cookie in them where asked for.
struct Script {
    question: RefCell<[u8; 48]>,
    answers: RefCell<Vec<(bool, Vec<u8>)>>,
}

impl NtpUdpSocket for Script {
    fn send_to(&self, buf: &[u8], _: SocketAddr) -> impl Future<Output = sntpc::Result<usize>> {
        let len = buf.len().min(48);
        self.question.borrow_mut()[..len].copy_from_slice(&buf[..len]);
        ready(Ok(buf.len()))
    }

    fn recv_from(
        &self,
        buf: &mut [u8],
    ) -> impl Future<Output = sntpc::Result<(usize, SocketAddr)>> {
        let next: Option<Ready<_>> = self.answers.borrow_mut().pop().map(|(echo, mut answer)| {
            if echo && answer.len() >= 32 {
                answer[24..32].copy_from_slice(&self.question.borrow()[40..48]);
            }
            let len = answer.len().min(buf.len());
            buf[..len].copy_from_slice(&answer[..len]);
            ready(Ok((len, SERVER.parse().expect("an address"))))
        });
        async move {
            match next {
                Some(next) => next.await,
                None => pending().await,
            }
        }
    }
}

struct Same;

impl TryRng for Same {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(7)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(7)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        bytes.fill(7);
        Ok(())
    }
}

impl TryCryptoRng for Same {}

/// A byte that says whether it echoes the question, and a message.
const ANSWER: usize = 1 + 48;

fuzz_target!(|bytes: &[u8]| {
    let answers = bytes.chunks(ANSWER).map(|answer| (answer[0] % 2 == 1, answer[1..].to_vec()));
    let (wall, mut sntp) = (WallClock::new(), Sntp::new(SERVER.parse().expect("an address")));
    let answers = RefCell::new(answers.rev().collect());
    let socket = Script { question: RefCell::new([0; 48]), answers };
    let polls = RefCell::new(0);
    // Gives up when the answers are through.
    let sleep = |_: Duration| {
        std::future::poll_fn(|_| {
            *polls.borrow_mut() += 1;
            if *polls.borrow() > 1 { Poll::Ready(()) } else { Poll::Pending }
        })
    };
    let now = || Instant::from_secs(1);
    let mut rng = Same;
    let told = {
        let mut ask = pin!(sntp.ask(&socket, &wall, &mut rng, now, sleep));
        let mut context = Context::from_waker(Waker::noop());
        let mut told = ask.as_mut().poll(&mut context);
        if told.is_pending() {
            told = ask.as_mut().poll(&mut context);
        }
        told
    };
    let Poll::Ready(told) = told else { panic!("neither an answer nor the end of patience") };
    assert_eq!(wall.unix_time(now()).is_some(), told.is_ok());
    if let Ok(time) = told {
        let year = 31_556_952;
        assert!((55 * year..230 * year).contains(&time.as_secs()), "{time:?}");
    }
});
