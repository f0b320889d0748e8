use std::net::SocketAddr;

use super::*;

const KEY: &str = "e84b5a6d2717c1003a13b431570353dbaca9146cf150c5f8575680feba52027a";
const OTHER: &str = "58402e695ba1772b1cc9309755f043251ea77fdcf10fbe63989ceb7e19321376";

/// The last answer to these lines.
fn read(text: &str) -> Option<Result<Request, Errno>> {
    let mut parser = Parser::default();
    let mut last = None;
    for line in text.split('\n') {
        last = parser.line(line).or(last);
    }
    last
}

fn set(lines: &str) -> Result<Transaction, Errno> {
    match read(&format!("set=1\n{lines}\n\n")) {
        Some(Ok(Request::Set(transaction))) => Ok(*transaction),
        Some(Err(errno)) => Err(errno),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_whole_transaction_is_read() {
    let transaction = set(&format!(
        "private_key={KEY}\nlisten_port=12912\nfwmark=51820\nreplace_peers=true\n\
         public_key={KEY}\npreshared_key={OTHER}\nendpoint=[abcd:23::33%2]:51820\n\
         replace_allowed_ips=true\nallowed_ip=192.168.4.4/32\nallowed_ip=-10.0.0.0/8\n\
         protocol_version=1\n\
         public_key={OTHER}\nupdate_only=true\nendpoint=182.122.22.19:3233\n\
         persistent_keepalive_interval=111\n\
         public_key={KEY}\nremove=true"
    ))
    .unwrap();
    assert!(transaction.private_key.unwrap().is_some());
    assert_eq!(transaction.listen_port, Some(12912));
    assert_eq!(transaction.fw_mark, Some(51820));
    assert!(transaction.replace_peers);
    let [first, second, third] = &transaction.peers[..] else { panic!("three peers") };
    assert!(first.preshared_key.is_some() && first.replace_allowed_ips && !first.update_only);
    let first_endpoint = first.endpoint.unwrap();
    assert_eq!(first_endpoint.to_string(), "[abcd:23::33%2]:51820");
    let prefixes = [("192.168.4.4/32", true), ("10.0.0.0/8", false)];
    assert_eq!(first.allowed_ips, prefixes.map(|(text, adds)| (text.parse().unwrap(), adds)));
    assert!(second.update_only && second.persistent_keepalive == Some(111));
    assert_eq!(second.endpoint, "182.122.22.19:3233".parse::<SocketAddr>().ok());
    assert!(third.remove && third.public_key == first.public_key);
}

#[test]
fn zeros_take_the_private_key_away_and_an_empty_mark_the_mark() {
    let transaction = set(&format!("private_key={}\nfwmark=", "0".repeat(64))).unwrap();
    assert_eq!(transaction.private_key, Some(None));
    assert_eq!(transaction.fw_mark, Some(0));
    assert_eq!(set("listen_port=0").unwrap().listen_port, Some(0));
}

#[test]
fn every_wrong_line_is_refused() {
    let peer = format!("public_key={KEY}\n");
    for wrong in [
        "listen_port=65536",
        "listen_port=+1",
        "listen_port=-1",
        "listen_port=",
        "listen_port",
        "=",
        "fwmark=4294967296",
        "fwmark=0x10",
        "replace_peers=false",
        "replace_peers=1",
        "private_key=",
        "private_key=00",
        "remove=true",
        "allowed_ip=10.0.0.0/8",
        "nonsense=1",
        "get=1",
        "public_key=zz",
        &format!("{peer}private_key={KEY}"),
        &format!("{peer}listen_port=1"),
        &format!("{peer}allowed_ip=10.0.0.0/33"),
        &format!("{peer}allowed_ip=--10.0.0.0/8"),
        &format!("{peer}allowed_ip="),
        &format!("{peer}endpoint=vpn.example:51820"),
        &format!("{peer}endpoint=192.0.2.1:0"),
        &format!("{peer}endpoint=192.0.2.1"),
        &format!("{peer}endpoint=0.0.0.0:51820"),
        &format!("{peer}endpoint=[fe80::1%no_such_link]:1"),
        &format!("{peer}persistent_keepalive_interval=65536"),
        &format!("{peer}persistent_keepalive_interval=off"),
        &format!("{peer}preshared_key=aa"),
        &format!("{peer}protocol_version=2"),
        &format!("{peer}update_only=yes"),
    ] {
        assert_eq!(set(wrong).err(), Some(Errno::EINVAL), "{wrong}");
        // What comes after the mistake is no request of its own.
        let after = format!("{wrong}\nlisten_port=7");
        assert_eq!(set(&after).err(), Some(Errno::EINVAL), "{wrong}");
    }
}

#[test]
fn requests_follow_each_other_on_one_connection() {
    let mut parser = Parser::default();
    let mut lines = ["", "get=1", "", "", "set=1", "fwmark=x", "get=1", "", "set=1", ""].iter();
    let mut next = || lines.by_ref().find_map(|line| parser.line(line));
    assert!(matches!(next(), Some(Ok(Request::Get))));
    assert!(matches!(next(), Some(Err(Errno::EINVAL))));
    assert!(matches!(next(), Some(Ok(Request::Set(_)))));
    assert!(next().is_none());
    assert!(matches!(read("get=2\n\n"), Some(Err(Errno::EPROTO))));
    assert!(matches!(read("get=1\nfwmark=1\n\n"), Some(Err(Errno::EINVAL))));
}

#[test]
fn any_lines_at_all_are_answered_and_never_a_panic() {
    let pieces = [
        "set=1",
        "get=1",
        "",
        "public_key=",
        KEY,
        "=",
        "allowed_ip=",
        "-",
        "::/0",
        "endpoint=[",
        "]:1",
        "%",
        "é",
        "fwmark=",
        "18446744073709551616",
        "remove=true",
        "\u{0}",
    ];
    let mut random = 7_u64;
    for _ in 0..20_000 {
        let mut parser = Parser::default();
        for _ in 0..8 {
            let mut line = String::new();
            for _ in 0..3 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                line += pieces[(random >> 33) as usize % pieces.len()];
            }
            let _ = parser.line(&line);
        }
    }
}
