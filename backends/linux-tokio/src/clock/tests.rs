use std::fs;

use super::*;

const EARLY: fn() -> Option<Duration> = || Some(Duration::from_secs(1_000_000_000));
const LATE: fn() -> Option<Duration> = || Some(Duration::from_secs(1_800_000_000));
const UNSET: fn() -> Option<Duration> = || None;

fn at(secs: u64) -> Tai64n {
    Tai64n::from_unix(secs, 0)
}

fn state() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wg0.state");
    (folder, path)
}

/// Uses up stamps until the clock has no more.
fn exhaust(clock: &mut StampClock) -> Tai64n {
    let mut last = clock.next().unwrap();
    loop {
        match clock.next() {
            Ok(stamp) => {
                assert!(stamp > last);
                last = stamp;
            }
            Err(ClockUnavailable::Reserve) => return last,
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn without_a_file_stamps_follow_the_time_of_day() {
    let mut clock = StampClock { unix_time: LATE, last: None, ceiling: None };
    assert_eq!(clock.next(), Ok(at(1_800_000_000)));
    assert_eq!(clock.next(), Ok(at(1_800_000_000).successor()));
    assert!(clock.reservation().is_none());
    clock.unix_time = UNSET;
    assert_eq!(clock.next(), Err(ClockUnavailable::NotSet));
}

#[test]
fn a_restart_with_an_earlier_clock_gives_later_stamps() {
    let (_folder, path) = state();
    let mut before = StampClock::kept_in_by(path.clone(), LATE).unwrap();
    let last = exhaust(&mut before);
    drop(before);
    for unix_time in [EARLY, UNSET] {
        let mut after = StampClock::kept_in_by(path.clone(), unix_time).unwrap();
        assert!(after.next().unwrap() > last);
    }
}

#[test]
fn no_stamp_is_above_what_the_file_holds() {
    let (_folder, path) = state();
    let mut clock = StampClock::kept_in_by(path.clone(), LATE).unwrap();
    let last = exhaust(&mut clock);
    assert_eq!(read(&path).unwrap(), Some(at(1_800_000_060)));
    assert!(last <= at(1_800_000_060));

    let reservation = clock.reservation().unwrap();
    assert_eq!(clock.next(), Err(ClockUnavailable::Reserve), "reserved, but not yet written");
    let durable = reservation.write().unwrap();
    assert_eq!(clock.next(), Err(ClockUnavailable::Reserve), "written, but not yet known");
    clock.reserved(durable);
    assert!(clock.next().unwrap() > last);
    assert_eq!(read(&path).unwrap(), Some(durable));
}

#[test]
fn after_a_long_silence_a_stamp_is_there_at_once() {
    let (_folder, path) = state();
    let mut clock = StampClock::kept_in_by(path, EARLY).unwrap();
    let first = clock.next().unwrap();
    assert!(clock.reservation().is_none(), "a minute was reserved just now");
    clock.unix_time = LATE;
    let second = clock.next().unwrap();
    assert!(second > first && second < at(1_000_000_061));
    let durable = clock.reservation().unwrap().write().unwrap();
    clock.reserved(durable);
    assert_eq!(clock.next(), Ok(at(1_800_000_000)));
}

#[test]
fn a_damaged_file_is_an_error_and_stays_as_it_is() {
    let (_folder, path) = state();
    drop(StampClock::kept_in_by(path.clone(), LATE).unwrap());
    let whole = fs::read(&path).unwrap();
    let mut broken: Vec<Vec<u8>> = (0..whole.len()).map(|len| whole[..len].to_vec()).collect();
    for place in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[place] ^= 1;
        broken.push(flipped);
    }
    broken.push([whole.as_slice(), b"\n"].concat());
    broken.push(vec![0xff; 51]);
    broken.push(vec![0; 52]);
    for text in broken {
        fs::write(&path, &text).unwrap();
        let error = StampClock::kept_in_by(path.clone(), LATE).unwrap_err();
        assert!(matches!(error, StateError::Damaged { .. }), "{text:?}");
        assert!(error.to_string().contains("wg0.state is damaged"));
        assert_eq!(fs::read(&path).unwrap(), text);
    }
}

#[test]
fn half_written_new_files_are_ignored() {
    let (_folder, path) = state();
    drop(StampClock::kept_in_by(path.clone(), LATE).unwrap());
    fs::write(path.with_file_name("wg0.state.new"), "@4").unwrap();
    let mut clock = StampClock::kept_in_by(path, EARLY).unwrap();
    assert!(clock.next().unwrap() > at(1_800_000_060));
}

#[test]
fn a_folder_that_is_not_there_is_a_sentence() {
    let (folder, _) = state();
    let path = folder.path().join("nowhere/wg0.state");
    let error = StampClock::kept_in_by(path.clone(), LATE).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with(&format!("cannot keep timestamps in {}", path.display())), "{text}");
    assert!(text.ends_with("its folder must exist and be writable"), "{text}");
}
