use proptest::prelude::*;

use super::reader::{LONGEST_REQUEST, Reader};
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
fn what_is_no_key_and_value_is_a_matter_of_the_protocol() {
    assert_eq!(set("listen_port").err(), Some(Errno::EPROTO));
    assert_eq!(set(" ").err(), Some(Errno::EPROTO));
}

#[test]
fn a_replacement_of_allowed_ips_counts_for_the_lines_before_it_too() {
    let transaction = set(&format!(
        "public_key={KEY}\nallowed_ip=10.0.0.0/8\nreplace_allowed_ips=true\nallowed_ip=10.1.0.0/16"
    ));
    let left = ("10.1.0.0/16".parse().unwrap(), true);
    assert_eq!(transaction.unwrap().peers[0].allowed_ips, [left]);
}

#[test]
fn a_line_or_a_request_without_an_end_takes_no_more_memory_than_a_long_one() {
    let mut reader = Reader::default();
    assert!(reader.read(b"set=1\nfwmark=").unwrap().is_none());
    assert_eq!(reader.read(&[b'0'; 1000]).err(), Some(Errno::EINVAL));

    let mut reader = Reader::default();
    assert!(reader.read(b"set=1\n").unwrap().is_none());
    let line = format!("public_key={KEY}\n");
    let lines = (0..LONGEST_REQUEST / line.len() + 2).map(|_| reader.read(line.as_bytes()));
    assert_eq!(lines.filter_map(Result::err).next(), Some(Errno::ENOMEM));
}

/// A transaction as a client writes it.
fn written(transaction: &Transaction) -> String {
    let mut text = String::from("set=1\n");
    let mut line = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            text += &format!("{key}={value}\n");
        }
    };
    let truth = |yes: bool| yes.then(|| "true".to_owned());
    let hex = |key: &Option<PrivateKey>| match key {
        Some(key) => key.expose_hex().as_str().to_owned(),
        None => "0".repeat(64),
    };
    line("private_key", transaction.private_key.as_ref().map(hex));
    line("listen_port", transaction.listen_port.map(|port| port.to_string()));
    line("fwmark", transaction.fw_mark.map(|mark| mark.to_string()));
    line("replace_peers", truth(transaction.replace_peers));
    for peer in &transaction.peers {
        line("public_key", Some(format!("{:x}", peer.public_key)));
        line("remove", truth(peer.remove));
        line("update_only", truth(peer.update_only));
        let preshared = peer.preshared_key.as_ref();
        line("preshared_key", preshared.map(|key| key.expose_hex().as_str().to_owned()));
        line("endpoint", peer.endpoint.map(|at| at.to_string()));
        let keepalive = peer.persistent_keepalive;
        line("persistent_keepalive_interval", keepalive.map(|seconds| seconds.to_string()));
        line("replace_allowed_ips", truth(peer.replace_allowed_ips));
        for (prefix, adds) in &peer.allowed_ips {
            line("allowed_ip", Some(format!("{}{prefix}", if *adds { "" } else { "-" })));
        }
    }
    text + "\n"
}

fn allowed_ip() -> impl Strategy<Value = (AllowedIp, bool)> {
    (any::<IpAddr>(), any::<u8>(), any::<bool>()).prop_map(|(addr, cidr, adds)| {
        let cidr = if addr.is_ipv4() { cidr % 33 } else { cidr % 129 };
        (AllowedIp::new(addr, cidr).unwrap(), adds)
    })
}

prop_compose! {
    fn peer()(
        key in any::<[u8; 32]>(),
        flags in any::<[bool; 3]>(),
        preshared_key in any::<Option<[u8; 32]>>(),
        endpoint in any::<Option<(IpAddr, u16)>>(),
        persistent_keepalive in any::<Option<u16>>(),
        allowed_ips in proptest::collection::vec(allowed_ip(), 0..4),
    ) -> PeerChange {
        let is_place = |(ip, port): &(IpAddr, u16)| !ip.is_unspecified() && *port != 0;
        PeerChange {
            public_key: PublicKey::from_bytes(key),
            remove: flags[0],
            update_only: flags[1],
            preshared_key: preshared_key.map(PresharedKey::from_bytes),
            endpoint: endpoint.filter(is_place).map(SocketAddr::from),
            persistent_keepalive,
            replace_allowed_ips: flags[2],
            allowed_ips,
        }
    }
}

prop_compose! {
    fn transaction()(
        private_key in any::<Option<[u8; 32]>>(),
        listen_port in any::<Option<u16>>(),
        fw_mark in any::<Option<u32>>(),
        replace_peers in any::<bool>(),
        peers in proptest::collection::vec(peer(), 0..4),
    ) -> Transaction {
        let private_key = private_key.map(PrivateKey::from_bytes);
        Transaction { private_key, listen_port, fw_mark, replace_peers, peers }
    }
}

/// Lines that are nearly right.
fn nearly() -> impl Strategy<Value = String> {
    let key = "(set|get|private_key|listen_port|fwmark|replace_peers|public_key|remove|\
               update_only|preshared_key|endpoint|persistent_keepalive_interval|\
               replace_allowed_ips|allowed_ip|protocol_version|errno)?";
    let value = "(1|true|-?[0-9]{1,6}|[0-9a-f]{64}|-?[0-9.:a-f]{1,12}/[0-9]{1,3}|\
                 \\[::1%?l?o?\\]:[0-9]{1,5})?";
    let lines = proptest::collection::vec((key, "=?", value, "\n{0,2}"), 0..12);
    lines.prop_map(|lines| lines.into_iter().map(|(a, b, c, d)| a + &b + &c + &d).collect())
}

proptest! {
    #[test]
    fn a_transaction_is_read_as_it_was_written_wherever_it_is_split(
        transaction in transaction(),
        size in 1_usize..200,
    ) {
        let text = written(&transaction) + "get=1\n\n";
        let mut reader = Reader::default();
        let mut requests = Vec::new();
        for mut piece in text.as_bytes().chunks(size) {
            while let Some((request, rest)) = reader.read(piece).unwrap() {
                requests.push(request.unwrap());
                piece = rest;
            }
        }
        let Ok([Request::Set(read), Request::Get]) = <[_; 2]>::try_from(requests) else {
            panic!("a set and a get");
        };
        prop_assert_eq!(*read, transaction);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in any::<Vec<u8>>(), nearly in nearly(), size in 1_usize..99) {
        for text in [bytes.as_slice(), nearly.as_bytes(), format!("set=1\n{nearly}\n").as_bytes()] {
            let mut reader = Reader::default();
            'all: for mut piece in text.chunks(size) {
                loop {
                    match reader.read(piece) {
                        Ok(Some((_, rest))) => piece = rest,
                        Ok(None) => break,
                        Err(_) => break 'all,
                    }
                }
            }
        }
    }
}
