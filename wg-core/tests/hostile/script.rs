//! What an adversary, two hosts and two administrators do, read from bytes.
//!
//! Every byte string is a script, and each step takes [`Step::LEN`] bytes whatever it is, so that
//! a script whose middle is cut out is the rest of its steps.

/// One thing that happens. Machines are 0 to 2, and are taken modulo their number; datagrams are
/// named by their place among those that are there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// A host sends a packet, perhaps under the inner address of another.
    Send {
        from: u8,
        to: u8,
        source: u8,
    },
    /// A host sends packets steadily, and nothing of what that leads to arrives.
    Traffic {
        from: u8,
        to: u8,
        every: u8,
    },
    /// A datagram arrives as it is, from an address and with a congestion mark of the
    /// adversary's choice.
    Deliver {
        which: u8,
        address: u8,
        mark: u8,
    },
    /// As [`Deliver`](Self::Deliver), and it may arrive again.
    Copy {
        which: u8,
        address: u8,
        mark: u8,
    },
    Lose {
        which: u8,
    },
    /// A datagram of the past arrives, at whomever.
    Replay {
        which: u8,
        to: u8,
        address: u8,
    },
    /// A datagram arrives with a bit changed, or cut, or longer.
    Damage {
        which: u8,
        place: u8,
        how: u8,
    },
    /// A cookie that the adversary made up for a message that was seen.
    ForgeCookie {
        which: u8,
        to: u8,
        address: u8,
    },
    /// Strangers with a right mac1, who come back with the cookies that they get.
    Flood {
        to: u8,
        sources: u8,
        rounds: u8,
    },
    /// The network is sound for so long: everything arrives in order.
    Calm {
        tenths: u8,
        more: u8,
    },
    /// Deadlines are served, nothing arrives.
    Wait {
        millis: u8,
        more: u8,
    },
    WaitLong {
        secs: u8,
        more: u8,
    },
    /// Nothing is served: the machines sleep.
    Sleep {
        secs: u8,
        more: u8,
    },
    /// A deadline is served, perhaps before its time.
    Timeout {
        at: u8,
    },
    Key {
        at: u8,
        key: u8,
    },
    Preshared {
        at: u8,
        of: u8,
        key: u8,
    },
    Endpoint {
        at: u8,
        of: u8,
        address: u8,
    },
    Keepalive {
        at: u8,
        of: u8,
        secs: u8,
    },
    Remove {
        at: u8,
        of: u8,
    },
    Add {
        at: u8,
        of: u8,
    },
    /// The first machine's route to an inner address.
    Route {
        address: u8,
        to: u8,
        add: u8,
    },
    Connect {
        at: u8,
        of: u8,
    },
    Load {
        at: u8,
    },
    Down {
        at: u8,
    },
    Up {
        at: u8,
    },
    Clock {
        at: u8,
        how: u8,
    },
    Random {
        at: u8,
        byte: u8,
    },
    Reboot {
        at: u8,
    },
}

impl Step {
    pub const LEN: usize = 4;

    /// Half of all first bytes are what networks and hosts do most.
    fn read([kind, a, b, c]: [u8; Self::LEN]) -> Self {
        match kind % 64 {
            0..=7 => Self::Send { from: a, to: b, source: c },
            8..=9 => Self::Traffic { from: a, to: b, every: c },
            10..=24 => Self::Deliver { which: a, address: b, mark: c },
            25..=27 => Self::Copy { which: a, address: b, mark: c },
            28 => Self::Lose { which: a },
            29..=32 => Self::Replay { which: a, to: b, address: c },
            33..=34 => Self::Damage { which: a, place: b, how: c },
            35 => Self::ForgeCookie { which: a, to: b, address: c },
            36 => Self::Flood { to: a, sources: b, rounds: c },
            37..=40 => Self::Calm { tenths: a, more: b },
            41..=44 => Self::Wait { millis: a, more: b },
            45..=46 => Self::WaitLong { secs: a, more: b },
            47 => Self::Sleep { secs: a, more: b },
            48 => Self::Timeout { at: a },
            49..=50 => Self::Key { at: a, key: b },
            51 => Self::Preshared { at: a, of: b, key: c },
            52 => Self::Endpoint { at: a, of: b, address: c },
            53 => Self::Keepalive { at: a, of: b, secs: c },
            54 => Self::Remove { at: a, of: b },
            55 => Self::Add { at: a, of: b },
            56 => Self::Route { address: a, to: b, add: c },
            57 => Self::Connect { at: a, of: b },
            58 => Self::Load { at: a },
            59 => Self::Down { at: a },
            60 => Self::Up { at: a },
            61 => Self::Clock { at: a, how: b },
            62 => Self::Random { at: a, byte: b },
            _ => Self::Reboot { at: a },
        }
    }

    /// All whole steps of a script.
    pub fn all(script: &[u8]) -> Vec<Self> {
        let (steps, _) = script.as_chunks::<{ Self::LEN }>();
        steps.iter().copied().map(Self::read).collect()
    }
}
