//! What a mistake or a bad day does: each row of the table in the crate's documentation.

use std::cell::Cell;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::Duration;

use embassy_net::Stack;
use embassy_net::tcp::TcpSocket;
use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};
use futures_lite::future::{block_on, or, zip};
use wg_esp_hal::wg_nal::rand_core::TryRng;
use wg_esp_hal::wg_nal::wg_core::{Connection, Refusal};
use wg_esp_hal::wg_nal::{EmbassyTime, FlashStore, Handle, Identity, Persistent};
use wg_esp_hal::{
    BlockingAsync, Board, Memory, PAGE, TEXT_LEN, WIFI_IP_MTU, begin_config, read_text, split,
    store,
};

use crate::cable::*;

async fn sleep(ms: u64) {
    async_io::Timer::after(Duration::from_millis(ms)).await;
}

/// How it is with the first peer.
fn connection(handle: Handle<'static, EmbassyTime>) -> Connection {
    let mut connection = None;
    handle.for_each_peer(|_, peer| connection = Some(peer.connection));
    connection.unwrap()
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let late = async {
        sleep(20_000).await;
        panic!("not within 20 s: {what}");
    };
    let look = async {
        while !is_so() {
            sleep(20).await;
        }
    };
    or(look, late).await;
}

#[test]
fn a_tunnel_waits_for_wifi_and_is_there_when_that_is() {
    over_a_cable(async |cable| {
        cable.set_plugged(false);
        let mut gateway = gateway(cable.two);
        let text = board_text("");
        let mut board =
            begin_config(memory(), board(cable.one, 1), text, Some(&identity())).unwrap();
        let (inside, handle) = (board.inside, board.handle);
        let application = async {
            // Longer than a first initiation waits for its answer.
            until("no answer", || connection(handle) == Connection::Blocked(Refusal::Unanswered))
                .await;
            assert!(!inside.is_link_up());
            let (mut rx, mut tx) = ([0; 512], [0; 512]);
            let mut socket = TcpSocket::new(inside, &mut rx, &mut tx);
            socket.set_timeout(Some(embassy_time::Duration::from_millis(300)));
            assert!(
                socket.connect((Ipv4Addr::new(10, 9, 0, 1), 80)).await.is_err(),
                "and no socket hangs"
            );
            drop(socket);
            cable.set_plugged(true);
            echo(inside, gateway.inside, 3_000).await;
        };
        or(application, async {
            zip(board.runner.run(), gateway.runner.run()).await;
        })
        .await;
    });
}

#[test]
fn wifi_that_goes_and_comes_back_ends_no_tunnel() {
    over_a_cable(async |cable| {
        let mut gateway = gateway(cable.two);
        let text = board_text("");
        let mut board =
            begin_config(memory(), board(cable.one, 1), text, Some(&identity())).unwrap();
        let inside = board.inside;
        let application = async {
            for _ in 0..3 {
                echo(inside, gateway.inside, 3_000).await;
                cable.set_plugged(false);
                sleep(300).await;
                cable.set_plugged(true);
            }
            echo(inside, gateway.inside, 3_000).await;
        };
        or(application, async {
            zip(board.runner.run(), gateway.runner.run()).await;
        })
        .await;
    });
}

#[test]
fn stops_before_during_and_after_a_handshake_are_at_once_and_no_end() {
    over_a_cable(async |cable| {
        let mut gateway = gateway(cable.two);
        let text = board_text("");
        let mut board =
            begin_config(memory(), board(cable.one, 1), text, Some(&identity())).unwrap();
        let (inside, handle) = (board.inside, board.handle);
        // Nothing runs yet: nothing to stop.
        handle.stop();
        handle.stop();

        cable.set_plugged(false);
        let stop = async {
            until("a handshake", || connection(handle) == Connection::Handshaking).await;
            handle.stop();
            handle.stop();
        };
        zip(board.runner.run(), stop).await;
        assert_eq!(connection(handle), Connection::Blocked(Refusal::Down));
        cable.set_plugged(true);

        let whole = async {
            zip(board.runner.run(), async {
                echo(inside, gateway.inside, 3_000).await;
                handle.stop();
            })
            .await;
        };
        or(whole, gateway.runner.run()).await;
        assert!(!inside.is_link_up() && !handle.is_link_up());
    });
}

#[test]
fn a_second_begin_is_a_second_tunnel_and_the_first_goes_on() {
    over_a_cable(async |cable| {
        // A gateway for each, on ports of their own.
        let mut first_gateway = gateway(cable.two);
        let second_text = gateway_text().replace("51820", "51821").replace("10.9.0", "10.8.0");
        let mut second_gateway =
            begin_config(memory(), board(cable.two, 4), leak(second_text), None).unwrap();

        let begin = |text, seed| {
            begin_config(memory(), board(cable.one, seed), text, Some(&identity())).unwrap()
        };
        let mut first = begin(board_text(""), 1);
        let text = board_text("").replace("51820", "51821").replace("10.9.0", "10.8.0");
        let mut second = begin(leak(text), 3);
        let talk = async {
            let talk = async |board, gateway, at: [u8; 4]| {
                for _ in 0..3 {
                    echo_at(board, gateway, at, 3_000).await;
                }
            };
            zip(
                talk(first.inside, first_gateway.inside, [10, 9, 0, 1]),
                talk(second.inside, second_gateway.inside, [10, 8, 0, 1]),
            )
            .await;
        };
        let boards = zip(first.runner.run(), second.runner.run());
        let gateways = zip(first_gateway.runner.run(), second_gateway.runner.run());
        or(talk, async {
            zip(boards, gateways).await;
        })
        .await;
    });
}

/// Flash in memory, with the word and page of esp-storage's. It may stop taking writes.
struct Ram {
    bytes: Vec<u8>,
    is_worn: Rc<Cell<bool>>,
}

const PARTITION: core::ops::Range<u32> = 0..4 * PAGE;

impl Ram {
    fn new(mut byte: impl FnMut() -> u8) -> Self {
        let bytes = (0..PARTITION.end).map(|_| byte()).collect();
        Self { bytes, is_worn: Rc::default() }
    }

    fn store(self) -> FlashStore<BlockingAsync<Self>> {
        let [_, records] = split(PARTITION).unwrap();
        store(self, records).unwrap()
    }
}

#[derive(Debug)]
struct Worn;

impl NorFlashError for Worn {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

impl ErrorType for Ram {
    type Error = Worn;
}

impl ReadNorFlash for Ram {
    const READ_SIZE: usize = 4;

    fn read(&mut self, at: u32, bytes: &mut [u8]) -> Result<(), Worn> {
        bytes.copy_from_slice(&self.bytes[at as usize..][..bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

impl NorFlash for Ram {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = PAGE as usize;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Worn> {
        if self.is_worn.get() {
            return Err(Worn);
        }
        self.bytes[from as usize..to as usize].fill(0xff);
        Ok(())
    }

    fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), Worn> {
        if self.is_worn.get() {
            return Err(Worn);
        }
        for (cell, byte) in self.bytes[at as usize..].iter_mut().zip(bytes) {
            *cell &= byte;
        }
        Ok(())
    }
}

type Kept = Persistent<fn() -> Option<Duration>, FlashStore<BlockingAsync<Ram>>>;

/// A board that keeps its timestamps in `flash`, and never knows the time.
fn board_with(flash: Ram, underlay: Stack<'static>) -> Board<Kept> {
    let Board { underlay, ip_mtu: _, rng, clock: _ } = board(underlay, 1);
    let clock = Persistent::new((|| None) as fn() -> _, flash.store());
    Board { underlay, ip_mtu: WIFI_IP_MTU, rng, clock }
}

#[test]
fn a_flash_that_takes_no_writes_is_named_and_the_tunnel_comes_when_it_does() {
    over_a_cable(async |cable| {
        let mut gateway = gateway(cable.two);
        let flash = Ram::new(|| 0xff);
        let is_worn = Rc::clone(&flash.is_worn);
        is_worn.set(true);
        let board = board_with(flash, cable.one);
        let mut board = begin_config(memory(), board, board_text(""), Some(&identity())).unwrap();
        let (inside, handle) = (board.inside, board.handle);
        let application = async {
            // Without a timestamp that is kept, a handshake could shut the board out for good.
            until("the clock is named", || {
                connection(handle) == Connection::Blocked(Refusal::ClockReserve)
            })
            .await;
            assert!(handle.counters().reserve_errors > 0);
            is_worn.set(false);
            echo(inside, gateway.inside, 3_000).await;
        };
        or(application, async {
            zip(board.runner.run(), gateway.runner.run()).await;
        })
        .await;
    });
}

#[test]
fn a_session_outlives_its_flash() {
    over_a_cable(async |cable| {
        let mut gateway = gateway(cable.two);
        let flash = Ram::new(|| 0xff);
        let is_worn = Rc::clone(&flash.is_worn);
        let board = board_with(flash, cable.one);
        let mut board = begin_config(memory(), board, board_text(""), Some(&identity())).unwrap();
        let (inside, handle) = (board.inside, board.handle);
        let application = async {
            echo(inside, gateway.inside, 3_000).await;
            is_worn.set(true);
            // What was reserved before is enough for a new session, too.
            handle.stop();
        };
        let again = async {
            zip(board.runner.run(), application).await;
            let runs = board.runner.run();
            or(echo(inside, gateway.inside, 3_000), runs).await;
        };
        or(again, gateway.runner.run()).await;
    });
}

#[test]
fn a_text_in_utf_16_is_to_be_written_again_as_utf_8() {
    let said = |text: &[u8]| {
        let mut bytes = text.iter().copied().chain(core::iter::repeat(0xff));
        let mut flash = Ram::new(|| bytes.next().unwrap());
        let [range, _] = split(PARTITION).unwrap();
        read_text(&mut flash, range, &mut [0; TEXT_LEN]).map(str::len).map_err(|e| e.to_string())
    };
    let wrong = "byte 0 of the configuration is no text: write it again, as UTF-8".to_owned();
    for text in ["[Interface]\n", "\u{feff}[Interface]\n"] {
        for order in [u16::to_le_bytes, u16::to_be_bytes] {
            let wide: Vec<u8> = text.encode_utf16().flat_map(order).collect();
            assert_eq!(said(&wide), Err(wrong.clone()));
        }
    }
    assert_eq!(said(b"[Interface]\n"), Ok(12));
    assert!(said(&[]).unwrap_err().starts_with("no configuration"));
}

#[test]
fn a_flash_full_of_anything_is_no_text_and_no_key_and_no_panic() {
    let mut random = Seeded(1);
    let mut refused = 0;
    for _ in 0..200 {
        let mut flash = Ram::new(|| random.try_next_u32().unwrap() as u8);
        let [text, _] = split(PARTITION).unwrap();
        let mut buffer = [0; TEXT_LEN];
        let text = read_text(&mut flash, text, &mut buffer).map(str::len);
        assert!(text.map_or(true, |len| len < 64), "a text by chance is a short one");
        let mut store = flash.store();
        let mut rng = wg_esp_hal::Entropy::new(Seeded(2), ()).drbg().unwrap();
        if let Err(error) = block_on(Identity::load_or_generate(&mut store, &mut rng)) {
            assert!(error.to_string().contains("erase"), "what to do: {error}");
            refused += 1;
        }
        // That is the way out.
        block_on(store.erase()).unwrap();
        block_on(Identity::load_or_generate(&mut store, &mut rng)).unwrap();
    }
    println!("{refused} of 200 were refused");
}

#[test]
fn memory_for_more_peers_is_named_when_it_is_missing() {
    over_a_cable(async |cable| {
        let more = format!("{}[Peer]\nPublicKey = {}\n", board_text(""), key(9).public_key());
        let error =
            begin_config(memory(), board(cable.one, 1), leak(more.clone()), Some(&identity()))
                .map(drop)
                .unwrap_err();
        assert_eq!(
            error.to_string(),
            "the device has no room for another peer: use a larger Storage<PEERS, _>"
        );
        let memory: &'static mut Memory<2, 2> = Box::leak(Box::new(Memory::new()));
        begin_config(memory, board(cable.one, 1), leak(more), Some(&identity())).unwrap();
    });
}
