//! Timestamps kept in NVS: src/nvs.rs against host/nvs.c.

use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll, Waker};

use wg_esp_idf::wg_core::Refusal;
use wg_esp_idf::wg_nal::{Persistent, Record, Store};
use wg_esp_idf::{NvsError, NvsStore, Tunnel, random};

use super::gateway::{Gateway, wait_for};
use super::stack::{Nvs, Stack};
use super::{SUBNETS, echo};

const FULL: i32 = 0x1105;
const NOT_INITIALIZED: i32 = 0x1101;

/// NVS never makes anybody wait.
fn at_once<T>(work: impl Future<Output = T>) -> T {
    match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("it waits"),
    }
}

fn load(store: &mut NvsStore) -> Result<Option<[u8; 12]>, NvsError> {
    let mut value = [0; 12];
    at_once(store.load(Record::Timestamp, &mut value)).map(|found| found.then_some(value))
}

#[test]
fn records_are_kept_apart_by_namespace_and_every_handle_is_closed() {
    let stack = Stack::lock();
    let nvs = Nvs::empty(&stack);
    let (mut one, mut other) = (NvsStore::new("one").unwrap(), NvsStore::new("other").unwrap());
    assert_eq!(load(&mut one), Ok(None));
    at_once(one.save(Record::Timestamp, &[1; 12])).unwrap();
    at_once(other.save(Record::Timestamp, &[2; 12])).unwrap();
    at_once(one.save(Record::Timestamp, &[3; 12])).unwrap();
    assert_eq!(load(&mut one), Ok(Some([3; 12])));
    assert_eq!(load(&mut other), Ok(Some([2; 12])));
    assert_eq!(at_once(one.load(Record::PrivateKey, &mut [0; 32])), Ok(false));
    assert_eq!(nvs.open_handles(), 0);
}

#[test]
fn what_nvs_says_is_an_error_with_a_remedy() {
    let stack = Stack::lock();
    let nvs = Nvs::empty(&stack);
    let mut store = NvsStore::new("one").unwrap();
    at_once(store.save(Record::Timestamp, &[1; 12])).unwrap();
    nvs.damage(c"record-1");
    assert_eq!(load(&mut store), Err(NvsError::Length));
    assert_eq!(at_once(store.load(Record::Timestamp, &mut [0; 8])), Err(NvsError::Length));
    nvs.fail(0, FULL);
    assert_eq!(at_once(store.save(Record::Timestamp, &[1; 12])), Err(NvsError::Full));
    nvs.fail(NOT_INITIALIZED, 0);
    assert_eq!(load(&mut store), Err(NvsError::NotInitialized));
    nvs.fail(0x1234, 0);
    assert_eq!(
        load(&mut store).unwrap_err().to_string(),
        "NVS failed with error 0x1234 of esp_err.h"
    );
    assert_eq!(nvs.open_handles(), 0);
    for name in ["", "sixteen bytes...", "a\0b"] {
        assert_eq!(NvsStore::new(name).err(), Some(NvsError::Name));
    }
}

#[test]
fn a_board_without_sntp_is_believed_again_after_each_reboot() {
    let (stack, gateway) = (Stack::lock(), Gateway::start());
    let nvs = Nvs::empty(&stack);
    for boot in 0..3_u8 {
        let clock = Persistent::new(|| None, NvsStore::new("wireguard").unwrap());
        let tunnel = Tunnel::start(gateway.settings(SUBNETS), clock, random().unwrap()).unwrap();
        echo(&stack.udp("10.9.0.1", 7, 1000).unwrap(), &[boot; 20]);
        assert!(tunnel.status().unwrap().is_up());
        // The gateway takes one initiation from a peer in 20 ms.
        std::thread::sleep(core::time::Duration::from_millis(30));
    }
    // One that has forgotten is not.
    nvs.erase();
    let clock = Persistent::new(|| None, NvsStore::new("wireguard").unwrap());
    let tunnel = Tunnel::start(gateway.settings(SUBNETS), clock, random().unwrap()).unwrap();
    let before = gateway.datagrams();
    let socket = stack.udp("10.9.0.1", 7, 100).unwrap();
    socket.send(b"does anybody know me").unwrap();
    wait_for("the initiation", || gateway.datagrams() > before);
    assert!(socket.receive(&mut [0; 64]).is_err());
    assert!(!tunnel.status().unwrap().is_up());
}

#[test]
fn a_board_whose_nvs_is_not_there_yet_says_so_and_goes_on_when_it_is() {
    let (stack, gateway) = (Stack::lock(), Gateway::start());
    let nvs = Nvs::empty(&stack);
    nvs.fail(NOT_INITIALIZED, 0);
    let key = gateway.settings(&[]).private_key.expose_base64();
    let (ip, peer) = ("10.9.0.2".parse().unwrap(), gateway.key.to_string());
    let tunnel =
        Tunnel::begin(ip, key.as_str(), "127.0.0.1", &peer, gateway.address.port()).unwrap();
    wait_for("the errors", || {
        let status = tunnel.status().unwrap();
        status.counters.reserve_errors > 0 && status.refusals.count(Refusal::ClockNotSet) > 0
    });
    nvs.fail(0, 0);
    wait_for("the session", || tunnel.status().unwrap().is_up());
}
