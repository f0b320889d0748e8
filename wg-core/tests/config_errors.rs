//! Broken configurations: where each is broken, and the one sentence that says how.

use wg_core::config::Config;

/// A good `[Interface]` of two lines, to stand before what is broken.
const INTERFACE: &str = "[Interface]\nPrivateKey = yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=\n";
/// A good `[Peer]` of two lines more.
const PEER: &str = "[Peer]\nPublicKey = xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=\n";

#[track_caller]
fn broken(text: &str, line: u32, column: u32, message: &str) {
    let error = Config::parse(text).expect_err(text);
    assert_eq!(error.to_string(), format!("line {line}, column {column}: {message}"), "{text}");
    assert_eq!((error.line, error.column), (line, column));
}

/// The third line, inside `[Interface]`, before a good `[Peer]`.
#[track_caller]
fn in_interface(line: &str, column: u32, message: &str) {
    broken(&format!("{INTERFACE}{line}\n{PEER}"), 3, column, message);
}

/// The fifth line, inside `[Peer]`, the last and without an end of line.
#[track_caller]
fn in_peer(line: &str, column: u32, message: &str) {
    broken(&format!("{INTERFACE}{PEER}{line}"), 5, column, message);
}

#[test]
fn the_parts_around_the_broken_lines_are_good() {
    Config::parse(INTERFACE).unwrap();
    Config::parse(&format!("{INTERFACE}{PEER}")).unwrap();
}

#[test]
fn lines_that_are_not_of_the_format() {
    let message = "the line is not understood, expected [Section], Key = value or # comment";
    in_interface("ListenPort 51820", 1, message);
    in_interface("  ListenPort: 51820 # no = sign", 3, message);
    in_interface("; a comment of another format", 1, message);
    broken(&format!("# é\r\n\r\n{INTERFACE}\n<xml>"), 6, 1, message);
}

#[test]
fn sections_that_are_missing_unknown_or_too_many() {
    let none = "there is no [Interface], expected one";
    broken("", 1, 1, none);
    broken("\u{feff}", 1, 1, none);
    broken("# nothing\n\n", 1, 1, none);
    broken(PEER, 1, 1, none);
    let second = "there is a second [Interface], expected one";
    broken(&format!("{INTERFACE}{PEER}\n{INTERFACE}"), 6, 1, second);
    in_interface(" [interface]", 2, second);
    let unknown = "the section is unknown, expected [Interface] or [Peer]";
    in_interface("[Peers]", 2, unknown);
    in_interface("  [ Wire Guard ]", 5, unknown);
    in_interface("[]", 2, unknown);
    let end = "the section has no end, expected ] after its name";
    in_interface("[Peer", 1, end);
    in_interface(" [Peer # ]", 2, end);
    in_interface("[Peer] PublicKey = x", 1, end);
}

#[test]
fn keys_in_the_wrong_place() {
    let outside = "the key is in no section, expected [Interface] or [Peer] before it";
    broken("\n ListenPort = 1\n[Interface]", 2, 2, outside);
    broken("\u{feff}MTU = 1420", 1, 1, outside);
    let unknown = "the key is unknown, expected PublicKey, PresharedKey, AllowedIPs, Endpoint or \
                   PersistentKeepalive in [Peer]";
    in_peer("PublicKeys = x", 1, unknown);
    in_peer("= 5", 1, unknown);
    // A no-break space is not white space of this format.
    let unknown = "the key is unknown, expected PrivateKey, ListenPort, FwMark, Address, DNS, MTU, \
                   Table, SaveConfig, PreUp, PostUp, PreDown or PostDown in [Interface]";
    in_interface("\t\u{a0}MTU = 1420", 2, unknown);
    // The value of a key is all that was kept of this line, and it is not repeated.
    in_interface("yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=", 1, unknown);
    in_peer("\tMTU = 1420", 2, "the key is in [Peer], expected it in [Interface]");
    in_interface("endpoint = a:1", 1, "the key is in [Interface], expected it in [Peer]");
}

#[test]
fn keys_that_are_missing_or_repeated() {
    let private = "the [Interface] has no PrivateKey, expected one";
    broken("[Interface]\n", 1, 1, private);
    broken(&format!("\n [INTERFACE]\n{PEER}"), 2, 2, private);
    let public = "the [Peer] has no PublicKey, expected one";
    in_interface("[Peer]\n # PublicKey = nothing", 1, public);
    in_peer("[Peer] # at the end", 1, public);
    let once = "the key is repeated, expected it once in a section";
    in_interface(" privatekey = x", 2, once);
    broken(&format!("{INTERFACE}MTU = 1420\nDNS = 1.1.1.1\nmtu = 1420"), 5, 1, once);
    in_peer("publickey = x", 1, once);
    let peer = "the [Peer] is repeated, expected each PublicKey once";
    broken(&format!("{INTERFACE}{PEER}{PEER}"), 6, 13, peer);
    let other = PEER.replace("xTIB", "yTIB");
    broken(&format!("{INTERFACE}{other}{PEER}{other}"), 8, 13, peer);
}

#[test]
fn values_that_are_missing() {
    let message = "the key has no value, expected one after =";
    in_interface("MTU =", 6, message);
    in_interface("MTU=# 1420", 5, message);
    in_interface("PostUp = # echo", 9, message);
    in_peer("Endpoint =", 11, message);
}

#[test]
fn keys_that_are_not_keys() {
    let length =
        |found| format!("the key has the length {found}, expected 44 characters of base64");
    let base64 = "the key is not base64 of 32 bytes, expected 43 of A-Z a-z 0-9 + / and one =";
    in_peer("PresharedKey = FpCyhws9cxwWoV4xELtfJvjJN+zQVRPISllRWgeopVE", 16, &length(43));
    in_peer("PresharedKey = FpCyhws9 cxwWoV4xELtfJvjJN+zQVRPISllRWgeopVE=", 16, &length(45));
    in_peer("PresharedKey = FpCyhws9-xwWoV4xELtfJvjJN+zQVRPISllRWgeopVE=", 16, base64);
    broken(&format!("{INTERFACE}\n[Peer]\nPublicKey = é"), 5, 13, &length(1));
    broken("[Interface]\nPrivateKey = off", 2, 14, &length(3));
}

#[test]
fn numbers_that_are_out_of_range_or_no_numbers() {
    let port = "the port is wrong, expected a number from 0 to 65535";
    in_interface("ListenPort = 65536", 14, port);
    in_interface("ListenPort = -1", 14, port);
    in_interface("ListenPort = +1", 14, port);
    in_interface("ListenPort = 51820, 51821", 14, port);
    in_interface("ListenPort = 0x10", 14, port);
    let mtu = "the MTU is wrong, expected a number from 68 to 65535";
    in_interface("MTU=67", 5, mtu);
    in_interface("MTU=65536", 5, mtu);
    in_interface("MTU=1420 bytes", 5, mtu);
    let mark = "the mark is wrong, expected off or a number of 32 bits, decimal or 0x";
    in_interface("FwMark = on", 10, mark);
    in_interface("FwMark = 4294967296", 10, mark);
    in_interface("FwMark = 0x100000000", 10, mark);
    in_interface("FwMark = 0x", 10, mark);
    in_interface("FwMark = 0x+1", 10, mark);
    in_interface("FwMark = ca6c", 10, mark);
    let keepalive = "the keepalive is wrong, expected off or seconds from 0 to 65535";
    in_peer("PersistentKeepalive = 65536", 23, keepalive);
    in_peer("PersistentKeepalive = never", 23, keepalive);
}

#[test]
fn addresses_that_are_wrong_at_their_place_in_the_list() {
    let address = "the address is wrong, expected an IPv4 or IPv6 address";
    in_interface("Address = 10.0.0.256/24", 11, address);
    in_interface("Address = 10.0.0.2/24, fd00::g/64", 24, address);
    in_interface("Address = 10.0.0.2/24,", 23, address);
    in_peer("AllowedIPs = 10.0.0.0/8, , 10.0.0.1", 26, address);
    in_peer("AllowedIPs = example.org", 14, address);
    let v4 = "the prefix length is wrong, expected a number from 0 to 32";
    in_peer("AllowedIPs = 10.0.0.0/33", 23, v4);
    in_peer("AllowedIPs = ::/0, 10.0.0.0/", 29, v4);
    in_peer("AllowedIPs = 10.0.0.0/255.0.0.0", 23, v4);
    in_interface("Address = 10.0.0.0/8/8", 20, v4);
    let v6 = "the prefix length is wrong, expected a number from 0 to 128";
    in_peer("AllowedIPs = ::/129", 17, v6);
    let sign = "the address has a sign, expected the whole list without + or -";
    in_peer("AllowedIPs = +10.0.0.0/8", 14, sign);
    in_peer("AllowedIPs = ::/0,-10.0.0.0/8", 19, sign);
    let dns = "the DNS server is wrong, expected an IP address or a search domain";
    in_interface("DNS = 1.1.1.1, 1.1.1", 16, dns);
    in_interface("DNS = 1.1.1.1, exa mple.org", 16, dns);
    in_interface("DNS = 1.1.1.1,,", 15, dns);
}

#[test]
fn endpoints_that_are_wrong_at_the_wrong_part() {
    let no_port = "the endpoint has no port, expected host:port";
    in_peer("Endpoint = example.org", 12, no_port);
    in_peer("Endpoint = [::1]", 17, no_port);
    in_peer("Endpoint = [::1]51820", 17, no_port);
    let port = "the port is wrong, expected a number from 1 to 65535";
    in_peer("Endpoint = example.org:", 24, port);
    in_peer("Endpoint = example.org:0", 24, port);
    in_peer("Endpoint = 1.2.3.4:http", 20, port);
    in_peer("Endpoint = [::1]:70000", 18, port);
    // Characters are counted, not bytes.
    in_peer("Endpoint = [fe80::1%é]:0", 24, port);
    let host = "the host is wrong, expected an IP address or a name";
    in_peer("Endpoint = :51820", 12, host);
    in_peer("Endpoint = 1.2.3.256:51820", 12, host);
    in_peer("Endpoint = a..b:51820", 12, host);
    in_peer("Endpoint = büro.example:51820", 12, host);
    in_peer("Endpoint = http//example.org:51820", 12, host);
    let brackets = "the endpoint has no brackets, expected [IPv6 address]:port";
    in_peer("Endpoint = 2001:db8::1:51820", 12, brackets);
    in_peer("Endpoint = ::1", 12, brackets);
    in_peer("Endpoint = [::1:51820", 12, "the endpoint has no ], expected [IPv6 address]:port");
    let v6 = "the endpoint is wrong, expected an IPv6 address in the brackets";
    in_peer("Endpoint = [1.2.3.4]:51820", 13, v6);
    in_peer("Endpoint = [fe80::1%]:51820", 13, v6);
    in_peer("Endpoint = []:51820", 13, v6);
}
