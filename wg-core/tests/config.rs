//! The wg-quick format: what it may look like, what it means, and that it comes back.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use wg_core::config::{Config, InterfaceAddress};

/// Everything that a configuration says, apart from its text.
#[derive(Clone, PartialEq, Debug, Default)]
struct Meaning {
    private_key: Option<[u8; 32]>,
    listen_port: u16,
    fw_mark: u32,
    mtu: Option<u16>,
    addresses: Vec<String>,
    dns_servers: Vec<IpAddr>,
    dns_search: Vec<String>,
    host_settings: Vec<(String, String)>,
    peers: Vec<PeerMeaning>,
}

#[derive(Clone, PartialEq, Debug, Default)]
struct PeerMeaning {
    public_key: [u8; 32],
    preshared_key: [u8; 32],
    endpoint: Option<(String, u16)>,
    persistent_keepalive: u16,
    allowed_ips: Vec<String>,
}

fn meaning(config: &Config<'_>) -> Meaning {
    Meaning {
        private_key: config.private_key().map(|key| *key.expose()),
        listen_port: config.listen_port(),
        fw_mark: config.fw_mark(),
        mtu: config.mtu(),
        addresses: config.addresses().map(|address| address.to_string()).collect(),
        dns_servers: config.dns_servers().collect(),
        dns_search: config.dns_search().map(str::to_string).collect(),
        host_settings: config
            .host_settings()
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect(),
        peers: config
            .peers()
            .map(|peer| PeerMeaning {
                public_key: *peer.public_key().as_bytes(),
                preshared_key: *peer.preshared_key().expose(),
                endpoint: peer.endpoint().map(|at| (at.host().to_string(), at.port())),
                persistent_keepalive: peer.persistent_keepalive(),
                allowed_ips: peer.allowed_ips().map(|ip| ip.to_string()).collect(),
            })
            .collect(),
    }
}

fn printed(config: &Config<'_>) -> String {
    let mut text = String::new();
    config.write_with_secrets(&mut text).unwrap();
    text
}

/// Parses, prints, and checks that the print means the same and prints the same.
#[track_caller]
fn meaning_of(text: &str) -> Meaning {
    let config = Config::parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let print = printed(&config);
    let again = Config::parse(&print).unwrap_or_else(|error| panic!("{error}\n{print}"));
    assert_eq!(meaning(&again), meaning(&config), "{print}");
    assert_eq!(printed(&again), print);
    meaning(&config)
}

/// Each key, some twice, with what is unusual and still valid.
const FULL: &str = "\u{feff}# A tunnel home\r
[ interface ]\r
PRIVATEKEY=yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk= # a comment right behind\r
  listenport =\t51820\r
FwMark = 0xCA6C
Address = 10.200.100.8/24,fd00::8/64
Address=192.0.2.1
DNS = 10.200.100.1, corp.example, ::1
MTU = 1420
Table = off
PostUp = ip rule add from 10.0.0.0/8 table 5; echo = done # not this
PostUp = second
SaveConfig = false

[PEER]
PublicKey = xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=
PresharedKey = /UwcSPg38hW/D9Y3tcS1FOV0K1wuURMbS0sesJEP5ak=
AllowedIPs = 10.192.122.3/32 , 10.192.124.99/24
AllowedIPs = fe80::1
Endpoint = [fe80::7%eth0] : 51820
PersistentKeepalive = off
[Peer]
Endpoint = demo.example.org:12912
PublicKey = TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0=
AllowedIPs =
PersistentKeepalive = 25";

#[test]
fn every_key_in_unusual_spelling_is_understood() {
    let full = meaning_of(FULL);
    assert_eq!(full.private_key.unwrap()[..4], [0xc8, 0x09, 0xf3, 0xe5]);
    assert_eq!((full.listen_port, full.fw_mark, full.mtu), (51820, 0xca6c, Some(1420)));
    assert_eq!(full.addresses, ["10.200.100.8/24", "fd00::8/64", "192.0.2.1/32"]);
    assert_eq!(full.dns_servers, ["10.200.100.1", "::1"].map(|ip| ip.parse::<IpAddr>().unwrap()));
    assert_eq!(full.dns_search, ["corp.example"]);
    let settings = [
        ("Table", "off"),
        ("PostUp", "ip rule add from 10.0.0.0/8 table 5; echo = done"),
        ("PostUp", "second"),
        ("SaveConfig", "false"),
    ];
    assert_eq!(full.host_settings, settings.map(|(k, v)| (k.to_string(), v.to_string())));
    let [first, second] = &full.peers[..] else { panic!() };
    assert_eq!(first.public_key[..4], [0xc5, 0x32, 0x01, 0x03]);
    assert_eq!(first.preshared_key[..4], [0xfd, 0x4c, 0x1c, 0x48]);
    assert_eq!(first.endpoint, Some(("fe80::7%eth0".to_string(), 51820)));
    assert_eq!(first.allowed_ips, ["10.192.122.3/32", "10.192.124.0/24", "fe80::1/128"]);
    assert_eq!(first.persistent_keepalive, 0);
    assert_eq!(second.public_key[..4], [0x4e, 0xb3, 0x2f, 0x4a]);
    assert_eq!(second.endpoint, Some(("demo.example.org".to_string(), 12912)));
    assert_eq!(second.allowed_ips, [""; 0]);
    assert_eq!(second.preshared_key, [0; 32]);
    assert_eq!(second.persistent_keepalive, 25);
}

#[test]
fn it_is_printed_in_the_usual_spelling() {
    assert_eq!(
        printed(&Config::parse(FULL).unwrap()),
        "[Interface]
PrivateKey = yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=
ListenPort = 51820
FwMark = 0xca6c
Address = 10.200.100.8/24, fd00::8/64, 192.0.2.1/32
DNS = 10.200.100.1, ::1
DNS = corp.example
MTU = 1420
Table = off
PostUp = ip rule add from 10.0.0.0/8 table 5; echo = done
PostUp = second
SaveConfig = false

[Peer]
PublicKey = xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=
PresharedKey = /UwcSPg38hW/D9Y3tcS1FOV0K1wuURMbS0sesJEP5ak=
AllowedIPs = 10.192.122.3/32, 10.192.124.0/24, fe80::1/128
Endpoint = [fe80::7%eth0]:51820

[Peer]
PublicKey = TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0=
Endpoint = demo.example.org:12912
PersistentKeepalive = 25
"
    );
}

#[test]
fn displayed_it_hides_the_secrets_and_nothing_else() {
    let config = Config::parse(FULL).unwrap();
    let visible = printed(&config)
        .replace("yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=", "(hidden)")
        .replace("/UwcSPg38hW/D9Y3tcS1FOV0K1wuURMbS0sesJEP5ak=", "(hidden)");
    assert_eq!(config.to_string(), visible);
}

#[test]
fn the_least_configuration_has_the_defaults() {
    let zero_key = format!("{}=", "A".repeat(43));
    let least = meaning_of(&format!("[Interface]\nPrivateKey={zero_key}"));
    assert_eq!(least, Meaning::default());
    // An all-zero key is how `wg` says that there is none.
    assert_eq!(meaning_of("[Interface]"), Meaning::default());
}

#[test]
fn lists_for_wg_quick_have_any_commas_and_blanks() {
    let config = "[Interface]
Address = ,10.0.0.2/24 ,, fd00::2/64\t192.0.2.1,
Address = ,
DNS = , 1.1.1.1,,::1 corp lan_1 -x *.example büro.example ,";
    let read = meaning_of(config);
    assert_eq!(read.addresses, ["10.0.0.2/24", "fd00::2/64", "192.0.2.1/32"]);
    assert_eq!(read.dns_servers, ["1.1.1.1", "::1"].map(|ip| ip.parse::<IpAddr>().unwrap()));
    assert_eq!(read.dns_search, ["corp", "lan_1", "-x", "*.example", "büro.example"]);
}

#[test]
fn an_empty_value_is_none() {
    let empty = "[Interface]\nAddress=\nDNS = # none\nMTU =\nTable =\nPreUp=\nPostUp =\nPreDown=
PostDown =";
    assert_eq!(meaning_of(empty), Meaning::default());
    let taken_back = "[Interface]\nMTU = 1280\nMTU =\nTable = off\nTable =";
    assert_eq!(meaning_of(taken_back), Meaning::default());
}

#[test]
fn the_last_value_of_a_repeated_key_counts_in_all_interfaces_together() {
    let keys = [
        "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=",
        "TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0=",
    ];
    let twice =
        |key: &str, values: [&str; 2]| format!("{key}={}\n{key}={}\n", values[0], values[1]);
    let section = |parts: &[(&str, [&str; 2])]| -> String {
        parts.iter().map(|(key, values)| twice(key, *values)).collect()
    };
    let interface = section(&[
        ("PrivateKey", keys),
        ("ListenPort", ["1", "2"]),
        ("FwMark", ["1", "off"]),
        ("MTU", ["1400", "1300"]),
        ("Table", ["5", "off"]),
        ("SaveConfig", ["true", "false"]),
        ("PostUp", ["true", "true"]),
    ]);
    let peer = section(&[
        ("PublicKey", keys),
        ("PresharedKey", keys),
        ("Endpoint", ["a:1", "b:2"]),
        ("PersistentKeepalive", ["1", "off"]),
        ("AllowedIPs", ["1.1.1.1", "::1"]),
    ]);
    let once = format!(
        "[Interface]\nPrivateKey={key}\nListenPort=2\nMTU=1300\nTable=off\nSaveConfig=false
PostUp=true\nPostUp=true\n[Peer]\nPublicKey={key}\nPresharedKey={key}\nEndpoint=b:2
AllowedIPs=1.1.1.1,::1",
        key = keys[1]
    );
    let once = meaning_of(&once);
    assert_eq!(meaning_of(&format!("[Interface]\n{interface}[Peer]\n{peer}")), once);
    // The same with its lines dealt out to two sections around the peer.
    let (first, last) = interface.split_at(interface.find("MTU=1300").unwrap());
    let dealt = format!("[Interface]\n{first}[Peer]\n{peer}[interface]\n{last}[INTERFACE]");
    assert_eq!(meaning_of(&dealt), once);
}

#[test]
fn the_interface_may_stand_after_or_between_the_peers() {
    let (interface, peers) = FULL.split_at(FULL.find("[PEER]").unwrap());
    let (first, second) = peers.split_at(peers.find("[Peer]").unwrap());
    let full = meaning_of(FULL);
    let interface = interface.trim_start_matches('\u{feff}');
    assert_eq!(meaning_of(&format!("{peers}\n{interface}")), full);
    assert_eq!(meaning_of(&format!("{first}\n{interface}{second}")), full);
}

#[test]
fn an_endpoint_is_an_address_when_nothing_is_to_be_looked_up() {
    let address = |endpoint: &str| {
        let endpoint = wg_core::config::HostPort::parse(endpoint).unwrap();
        endpoint.socket_addr().map(|address| address.to_string())
    };
    assert_eq!(address("192.0.2.1:51820").as_deref(), Some("192.0.2.1:51820"));
    assert_eq!(address("[2001:db8::1]:1").as_deref(), Some("[2001:db8::1]:1"));
    assert_eq!(address("[fe80::1%3]:1").as_deref(), Some("[fe80::1%3]:1"));
    assert_eq!(address("[fe80::1%eth0]:1"), None);
    assert_eq!(address("vpn.example.org.:51820"), None);
    assert_eq!(address("4.example:51820"), None);
}

#[test]
fn an_interface_address_keeps_its_host_bits() {
    let address: InterfaceAddress = "10.1.2.3/8".parse().unwrap();
    assert_eq!((address.addr(), address.cidr()), ("10.1.2.3".parse().unwrap(), 8));
    assert_eq!(InterfaceAddress::new(address.addr(), 8), Some(address));
    assert_eq!(InterfaceAddress::new(address.addr(), 33), None);
    assert!(InterfaceAddress::new("::1".parse().unwrap(), 128).is_some());
}

/// Parses a text that may be anything. An error must lie inside the text.
fn parse_anything(text: &str) {
    let Err(error) = Config::parse(text) else { return drop(meaning_of(text)) };
    let text = text.trim_start_matches('\u{feff}');
    let line = text.split('\n').nth(error.line as usize - 1);
    let length = line.unwrap_or_else(|| panic!("{error}\n{text}")).chars().count();
    assert!((1..=length + 1).contains(&(error.column as usize)), "{error}\n{text}");
}

#[test]
fn a_good_file_with_one_line_gone_doubled_or_moved_is_read_or_refused() {
    let lines: Vec<&str> = FULL.split('\n').collect();
    for at in 0..lines.len() {
        let mut changed = lines.clone();
        let line = changed.remove(at);
        parse_anything(&changed.join("\n"));
        for to in 0..changed.len() {
            let mut moved = changed.clone();
            moved.insert(to, line);
            parse_anything(&moved.join("\n"));
            moved.insert(at, line);
            parse_anything(&moved.join("\n"));
        }
    }
}

#[test]
fn a_good_file_with_one_character_gone_or_garbled_is_read_or_refused() {
    for (at, gone) in FULL.char_indices() {
        let (before, after) = (&FULL[..at], &FULL[at + gone.len_utf8()..]);
        parse_anything(before);
        parse_anything(&format!("{before}{after}"));
        for other in
            ['\0', '\n', '\r', ' ', '#', '[', ']', '=', ',', ':', '%', '0', 'é', '\u{feff}']
        {
            parse_anything(&format!("{before}{other}{after}"));
            parse_anything(&format!("{before}{other}{gone}{after}"));
        }
    }
}

/// One way to write each of the parts of a line.
#[derive(Clone, Debug)]
struct Spelling {
    case: u8,
    around_equals: &'static str,
    end: &'static str,
    one_line_lists: bool,
}

impl Spelling {
    fn line(&self, text: &mut String, key: &str, value: &str) {
        let key = match self.case {
            0 => key.to_string(),
            1 => key.to_lowercase(),
            _ => key.to_uppercase(),
        };
        let space = self.around_equals;
        *text += &format!("{space}{key}{space}={space}{value}{}", self.end);
    }

    fn list(&self, text: &mut String, key: &str, values: &[String]) {
        if self.one_line_lists && !values.is_empty() {
            self.line(text, key, &values.join(&format!("{0},{0}", self.around_equals)));
        } else {
            values.iter().for_each(|value| self.line(text, key, value));
        }
    }
}

fn spelling() -> impl Strategy<Value = Spelling> {
    let space = prop_oneof![Just(""), Just(" "), Just("\t  ")];
    let end = prop_oneof![Just("\n"), Just("\r\n"), Just(" # = [Peer]\n"), Just("\n\n#\n \t\n")];
    (0..3_u8, space, end, any::<bool>()).prop_map(|(case, around_equals, end, one_line_lists)| {
        Spelling { case, around_equals, end, one_line_lists }
    })
}

fn network() -> impl Strategy<Value = String> {
    prop_oneof![
        (any::<Ipv4Addr>(), 0..=32_u8).prop_map(|(ip, len)| format!("{ip}/{len}")),
        (any::<Ipv6Addr>(), 0..=128_u8).prop_map(|(ip, len)| format!("{ip}/{len}")),
    ]
}

fn host() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<Ipv4Addr>().prop_map(|ip| ip.to_string()),
        any::<Ipv6Addr>().prop_map(|ip| ip.to_string()),
        any::<Ipv6Addr>().prop_map(|ip| format!("{ip}%eth0")),
        "([a-z0-9_-]{1,20}\\.){0,3}[a-z]{1,10}",
    ]
}

fn peer() -> impl Strategy<Value = PeerMeaning> {
    (
        any::<[u8; 32]>(),
        prop_oneof![Just([0; 32]), any::<[u8; 32]>()],
        prop::option::of((host(), 1..=u16::MAX)),
        any::<u16>(),
        // Whole addresses, so that no host bits are masked.
        prop::collection::vec(any::<IpAddr>(), 0..4),
    )
        .prop_map(|(public_key, preshared_key, endpoint, persistent_keepalive, ips)| {
            PeerMeaning {
                public_key,
                preshared_key,
                endpoint,
                persistent_keepalive,
                allowed_ips: ips
                    .iter()
                    .map(|ip| format!("{ip}/{}", if ip.is_ipv4() { 32 } else { 128 }))
                    .collect(),
            }
        })
}

fn any_meaning() -> impl Strategy<Value = Meaning> {
    let numbers = (any::<u16>(), any::<u32>(), prop::option::of(68..=u16::MAX));
    let lists = (
        prop::collection::vec(network(), 0..4),
        prop::collection::vec(any::<IpAddr>(), 0..3),
        prop::collection::vec("[a-z]{1,9}\\.[a-z]{1,9}\\.?", 0..3),
        prop::collection::vec(
            (
                prop_oneof!["PreUp", "PostUp", "PreDown", "PostDown"],
                "[!-\"$-~]([ -\"$-~é]{0,20}[!-\"$-~])?",
            ),
            0..3,
        ),
    );
    let peers = prop::collection::vec(peer(), 0..4);
    (any::<[u8; 32]>(), numbers, lists, peers).prop_map(|(key, numbers, lists, mut peers)| {
        let private_key = wg_core::PrivateKey::from_bytes(key).map(|key| *key.expose());
        peers.dedup_by_key(|peer| peer.public_key);
        Meaning {
            private_key,
            listen_port: numbers.0,
            fw_mark: numbers.1,
            mtu: numbers.2,
            addresses: lists.0,
            dns_servers: lists.1,
            dns_search: lists.2,
            host_settings: lists.3,
            peers,
        }
    })
}

/// The text of a meaning, written without the code under test.
fn written(meaning: &Meaning, spelling: &Spelling) -> String {
    let base64 = |key: &[u8; 32]| {
        use base64ct::{Base64, Encoding};
        let mut text = [0; 44];
        Base64::encode(key, &mut text).unwrap().to_string()
    };
    let strings = |ips: &[IpAddr]| ips.iter().map(ToString::to_string).collect::<Vec<_>>();
    let mut text = format!("[Interface]{}", spelling.end);
    let line = |text: &mut String, key: &str, value: &str| spelling.line(text, key, value);
    spelling.list(&mut text, "Address", &meaning.addresses);
    spelling.list(&mut text, "DNS", &strings(&meaning.dns_servers));
    spelling.list(&mut text, "DNS", &meaning.dns_search);
    line(&mut text, "PrivateKey", &base64(&meaning.private_key.unwrap_or_default()));
    line(&mut text, "ListenPort", &meaning.listen_port.to_string());
    line(&mut text, "FwMark", &format!("{:#X}", meaning.fw_mark));
    if let Some(mtu) = meaning.mtu {
        line(&mut text, "MTU", &mtu.to_string());
    }
    for (key, value) in &meaning.host_settings {
        line(&mut text, key, value);
    }
    for peer in &meaning.peers {
        line(&mut text, "[Peer]#", "");
        line(&mut text, "PersistentKeepalive", &peer.persistent_keepalive.to_string());
        if let Some((host, port)) = &peer.endpoint {
            let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
            line(&mut text, "Endpoint", &format!("{host}:{port}"));
        }
        spelling.list(&mut text, "AllowedIPs", &peer.allowed_ips);
        line(&mut text, "PublicKey", &base64(&peer.public_key));
        line(&mut text, "PresharedKey", &base64(&peer.preshared_key));
    }
    text
}

/// Text that is nearly a configuration: its words in any order.
fn word_salad() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        proptest::sample::select(
            FULL.split_inclusive([' ', '=', ',', '\n', ':'])
                .map(str::to_string)
                .collect::<Vec<_>>()
        ),
        proptest::sample::select(
            FULL.split_inclusive('\n').map(str::to_string).collect::<Vec<_>>()
        ),
        "\\PC{0,4}",
    ];
    prop::collection::vec(word, 0..40).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_configuration_in_any_spelling_means_what_was_meant(
        meant in any_meaning(),
        spelling in spelling(),
    ) {
        prop_assert_eq!(meaning_of(&written(&meant, &spelling)), meant);
    }

    #[test]
    fn garbage_is_refused_inside_the_text(text in any::<String>()) {
        parse_anything(&text);
        parse_anything(&format!("[Interface]\n{text}"));
    }

    #[test]
    fn word_salad_is_read_or_refused_inside_the_text(text in word_salad()) {
        parse_anything(&text);
    }
}
