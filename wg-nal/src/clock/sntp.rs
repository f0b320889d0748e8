//! The time of day from an SNTP server.

use core::fmt;
use core::future::Future;
use core::net::SocketAddr;
use core::time::Duration;

use embassy_futures::select::{Either, select};
use rand_core::CryptoRng;
use sntpc::{KissOfDeathCode, NtpContext, NtpResult, NtpTimestampGenerator, NtpUdpSocket};
use wg_core::Instant;

use super::wall::{EARLIEST, Implausible, WallClock};

/// How long an answer may take. It is also by how much an answer can be wrong.
const PATIENCE: Duration = Duration::from_secs(4);
/// Datagrams that are no answer, such as late ones to the question before, until it is given up.
const STRAYS: usize = 16;
/// From one question to the next after the first failure, twice that after the second, and so
/// on: RFC 4330 forbids less than 15 s.
const SHORTEST: Duration = Duration::from_secs(16);
/// From one question to the next after an answer, and after many failures.
const LONGEST: Duration = Duration::from_secs(4_096);

/// Asks an SNTP server now and then, and tells a [`WallClock`].
///
/// It runs as a task of its own, over a socket of its own, so the tunnel never waits for it:
///
/// ```
/// # use core::future::{Future, ready};
/// # use core::time::Duration;
/// # use wg_nal::sntpc::NtpUdpSocket;
/// # use wg_nal::wg_core::Instant;
/// use wg_nal::{Drbg, Sntp, WallClock};
///
/// # fn now() -> Instant { Instant::ZERO }
/// # fn after(_: Duration) -> impl Future { ready(()) }
/// async fn tell_the_time(socket: impl NtpUdpSocket, wall: &WallClock, mut rng: Drbg) {
///     let mut sntp = Sntp::new("192.0.2.1:123".parse().unwrap());
///     // With embassy-time, `after` is `|wait| Timer::after_micros(wait.as_micros() as u64)`.
///     sntp.run(&socket, wall, &mut rng, now, after, |answer| {
///         if let Err(_error) = answer { /* log it; it is asked again */ }
///     })
///     .await;
///     // Here the server has denied its service: name another.
/// }
/// ```
///
/// The socket is anything that implements sntpc's `NtpUdpSocket`: embassy-net's through the
/// crate sntpc-net-embassy, std's through sntpc-net-std, and those of embedded-nal-async through
/// `SntpSocket`, with the feature `embedded-nal-async`.
///
/// | | |
/// | --- | --- |
/// | asked | at the start; 4096 s after an answer; after failures 16 s, 32 s, ... 4096 s apart |
/// | an answer counts | if it is of the address asked, echoes 43 random bits of the question, comes within 4 s, is of a synchronised server and between 2025 and 2199 |
/// | "rate exceeded" | 4096 s until the next question |
/// | "denied", "restricted" | that server is never asked again |
///
/// SNTP is not authenticated: who can read the questions can answer them. What a wrong time
/// can do to timestamps is in the table of [`Persistent`](crate::Persistent).
#[derive(Clone, Debug)]
pub struct Sntp {
    server: SocketAddr,
    /// When the next question may be asked; `None` for never.
    due: Option<Instant>,
    wait: Duration,
}

impl Sntp {
    /// A client of `server`, which it has not asked yet.
    pub const fn new(server: SocketAddr) -> Self {
        Self { server, due: Some(Instant::ZERO), wait: SHORTEST }
    }

    /// When [`Self::ask`] will ask next; `None` after the server denied its service.
    pub const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Asks once, tells `wall` the answer, and returns the Unix time of the moment it came.
    /// Takes four seconds at most; `sleep` must do what its argument says. Dropping the future
    /// counts as a failure.
    ///
    /// # Errors
    ///
    /// [`SntpError`], and `wall` is as it was. Before [`Self::due`] it is `TooEarly`, and
    /// nothing is sent.
    pub async fn ask<F: Future>(
        &mut self,
        socket: &impl NtpUdpSocket,
        wall: &WallClock,
        rng: &mut (impl CryptoRng + ?Sized),
        now: impl Fn() -> Instant,
        sleep: impl FnOnce(Duration) -> F,
    ) -> Result<Duration, SntpError> {
        let asked = now();
        if self.due.is_none_or(|due| asked < due) {
            return Err(SntpError::TooEarly(self.due));
        }
        self.due = Some(asked.saturating_add(self.wait));
        self.wait = self.wait.saturating_mul(2).min(LONGEST);

        let about = wall.unix_time(asked).unwrap_or(EARLIEST);
        let question = NtpContext::new(Nonce::new(about, rng.next_u64()));
        let answer = answer(self.server, socket, question);
        let answer = match select(answer, sleep(PATIENCE)).await {
            Either::First(answer) => answer.map_err(SntpError::from),
            Either::Second(_) => Err(SntpError::Unanswered),
        };
        let heard = now();
        let answer = answer.and_then(|answer| {
            let nanos = (u64::from(answer.sec_fraction()) * 1_000_000_000) >> 32;
            let sent =
                Duration::from_secs(answer.sec()).saturating_add(Duration::from_nanos(nanos));
            let under_way = heard.saturating_since(asked) / 2;
            let unix_time = sent.saturating_add(under_way);
            wall.set(heard, unix_time).map_err(SntpError::Implausible)?;
            Ok(unix_time)
        });
        match answer {
            Ok(_) => {
                self.due = Some(heard.saturating_add(LONGEST));
                self.wait = SHORTEST;
            }
            Err(SntpError::Denied) => self.due = None,
            Err(SntpError::RateExceeded) => {
                self.due = Some(heard.saturating_add(LONGEST));
                self.wait = LONGEST;
            }
            Err(_) => {}
        }
        answer
    }

    /// Asks whenever it is due, and hands every answer to `report`, for ever: it returns when
    /// the server denied its service, so that the caller can name another.
    ///
    /// `sleep` waits for a time. The future may be dropped at any time.
    pub async fn run<F: Future>(
        &mut self,
        socket: &impl NtpUdpSocket,
        wall: &WallClock,
        rng: &mut (impl CryptoRng + ?Sized),
        now: impl Fn() -> Instant,
        mut sleep: impl FnMut(Duration) -> F,
        mut report: impl FnMut(Result<Duration, SntpError>),
    ) {
        while let Some(due) = self.due {
            let wait = due.saturating_since(now());
            if wait.is_zero() {
                report(self.ask(socket, wall, rng, &now, &mut sleep).await);
            } else {
                sleep(wait).await;
            }
        }
    }
}

/// Asks, and waits for the answer among what else comes.
async fn answer(
    server: SocketAddr,
    socket: &impl NtpUdpSocket,
    question: NtpContext<Nonce>,
) -> sntpc::Result<NtpResult> {
    let sent = sntpc::sntp_send_request(server, socket, question).await?;
    let mut strays = 0;
    loop {
        let answer = sntpc::sntp_process_response(server, socket, question, sent).await;
        strays += 1;
        match answer {
            Err(
                sntpc::Error::ResponseAddressMismatch
                | sntpc::Error::IncorrectOriginTimestamp
                | sntpc::Error::IncorrectPayload,
            ) if strays < STRAYS => {}
            answer => return answer,
        }
    }
}

/// The client's timestamp of a question, which the server echoes. It is random rather than the
/// time, as it serves to tell the answer from a forgery; only its year must be about right,
/// since the 32 bits of seconds in an answer are read as the nearest time to it.
#[derive(Clone, Copy)]
struct Nonce {
    secs: u64,
    micros: u32,
}

impl Nonce {
    /// 23 random bits of seconds, which are 97 days, and 20 of microseconds.
    fn new(about: Duration, random: u64) -> Self {
        Self {
            secs: about.as_secs().saturating_add(random & 0x7f_ffff),
            micros: (random >> 44) as u32 % 1_000_000,
        }
    }
}

impl NtpTimestampGenerator for Nonce {
    fn init(&mut self) {}

    fn timestamp_sec(&self) -> u64 {
        self.secs
    }

    fn timestamp_subsec_micros(&self) -> u32 {
        self.micros
    }
}

/// Why there is no time from an SNTP server. The wall clock stays as it was.
#[derive(Clone, Copy, PartialEq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum SntpError {
    /// The next question is due then, or never after [`Self::Denied`].
    TooEarly(Option<Instant>),
    /// No answer came within four seconds.
    Unanswered,
    /// The server asks for fewer questions.
    RateExceeded,
    /// The server wants no questions from here, and gets none.
    Denied,
    /// The server is not synchronised, and says so.
    Unsynchronised,
    /// The answer's time is one of a clock that was never set.
    Implausible(Implausible),
    /// The answer is none to the question, or the socket failed.
    Refused(#[cfg_attr(feature = "defmt", defmt(Debug2Format))] sntpc::Error),
}

impl From<sntpc::Error> for SntpError {
    fn from(error: sntpc::Error) -> Self {
        match error {
            sntpc::Error::KissOfDeath(KissOfDeathCode::Deny | KissOfDeathCode::Rstr) => {
                Self::Denied
            }
            sntpc::Error::KissOfDeath(KissOfDeathCode::Rate) => Self::RateExceeded,
            sntpc::Error::UnsynchronizedClock => Self::Unsynchronised,
            error => Self::Refused(error),
        }
    }
}

impl fmt::Display for SntpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooEarly(Some(due)) => write!(f, "the server may not be asked before {due:?}"),
            Self::TooEarly(None) => f.write_str("the server denied its service: name another"),
            Self::Unanswered => f.write_str("no answer: check the server's address and UDP 123"),
            Self::RateExceeded => f.write_str("the server is asked too often: it gets an hour"),
            Self::Denied => f.write_str("the server denies its service: name another"),
            Self::Unsynchronised => f.write_str("the server does not know the time itself yet"),
            Self::Implausible(time) => write!(f, "{time}; name another server"),
            Self::Refused(error) => write!(f, "that was no answer of the server: {error:?}"),
        }
    }
}

impl core::error::Error for SntpError {}
