//! Broken configurations: where each is broken, and the one sentence that says how.

use wg_core::config::{Config, text_of};

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
fn sections_that_are_missing_or_unknown() {
    let none = "there is no [Interface], expected one";
    broken("", 1, 1, none);
    broken("\u{feff}", 1, 1, none);
    broken("# nothing\n\n", 1, 1, none);
    broken(PEER, 1, 1, none);
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
    let unknown = "the key is unknown, expected PrivateKey, ListenPort, FwMark, Address, DNS, MTU, \
                   Table, SaveConfig, PreUp, PostUp, PreDown or PostDown in [Interface]";
    // The value of a key is all that was kept of this line, and it is not repeated.
    in_interface("yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=", 1, unknown);
    in_peer("\tMTU = 1420", 2, "the key is in [Peer], expected it in [Interface]");
    in_interface("endpoint = a:1", 1, "the key is in [Interface], expected it in [Peer]");
}

#[test]
fn a_peer_without_a_key() {
    let public = "the [Peer] has no PublicKey, expected one";
    in_interface("[Peer]\n # PublicKey = nothing", 1, public);
    in_peer("[Peer] # at the end", 1, public);
}

#[test]
fn values_that_are_missing() {
    let message = "the key has no value, expected one after =";
    in_interface("ListenPort =", 13, message);
    in_interface("FwMark=# 5", 8, message);
    in_interface("SaveConfig = # true", 13, message);
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
    in_interface("Address = 10.0.0.2/24,,  1.2.3", 26, address);
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
    in_interface("DNS = 1.1.1.1 fd00::g", 15, dns);
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

#[test]
fn a_key_of_amnezia_wg_says_what_the_file_needs() {
    let message = "this file needs AmneziaWG, which is another protocol: ask the provider for a \
                   file for WireGuard";
    for key in ["Jc", "Jmin", "Jmax", "S1", "S2", "S4", "H1", "H2", "H3", "H4", "I1", "I5", "jc"] {
        in_interface(&format!("{key} = 4"), 1, message);
    }
    in_peer(" AdvancedSecurity = on", 2, message);
}

#[test]
fn reserved_bytes_are_no_wireguard() {
    let message = "Reserved is not part of WireGuard: remove the line, or use another server if \
                   this one insists on it";
    in_interface("Reserved = 1, 2, 3", 1, message);
    in_peer("reserved = AAAA", 1, message);
}

#[test]
fn a_character_that_nobody_sees_is_named_with_its_column() {
    let message =
        |name, code| format!("here is {name} (U+{code}), which cannot be seen: remove it");
    let no_break = &message("a no-break space", "00A0");
    in_interface("Address = 10.0.0.2/24,\u{a0}fd00::2/64", 23, no_break);
    in_interface("\t\u{a0}MTU = 1420", 2, no_break);
    in_interface("MTU\u{a0}= 1420", 4, no_break);
    in_interface("DNS = a.example\u{a0}", 16, no_break);
    in_interface("[\u{a0}Peer]", 2, no_break);
    in_interface("\u{a0}", 1, no_break);
    in_peer("Endpoint = é.example\u{202f}:51820", 21, &message("a no-break space", "202F"));
    let zero_width = &message("a zero-width space", "200B");
    in_peer("PresharedKey = FpCyhws9cxwWoV4xELtfJvjJN+zQVRPISllRWgeopVE=\u{200b}", 60, zero_width);
    in_interface("[Peer]\u{200b}", 7, zero_width);
    in_peer("AllowedIPs = \u{2060}", 14, &message("a zero-width joiner", "2060"));
    in_peer("AllowedIPs = \u{200f}::/0", 14, &message("a mark of direction", "200F"));
    in_peer("\u{feff}[Peer]", 1, &message("a byte order mark", "FEFF"));
    in_peer("Endpoint =\u{3000}a:1", 11, &message("an unusual space", "3000"));
    in_peer("Endpoint = exam\u{ad}ple.org:1", 16, &message("a soft hyphen", "00AD"));
    // What is only for the host may hold what it likes, and so may a comment.
    let text = format!("{INTERFACE}PostUp = echo '\u{a0}' # \u{200b}");
    let config = Config::parse(&text).unwrap();
    assert_eq!(config.host_settings().next(), Some(("PostUp", "echo '\u{a0}'")));
}

#[test]
fn a_value_in_quotes_is_to_be_without() {
    let message = "the value is in quotes: remove them";
    in_peer("PresharedKey = \"FpCyhws9cxwWoV4xELtfJvjJN+zQVRPISllRWgeopVE=\"", 16, message);
    in_interface("PrivateKey = 'yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk='", 14, message);
    in_interface("DNS = “1.1.1.1”", 7, message);
    in_peer("Endpoint = \"example.org:51820\"", 12, message);
}

#[test]
fn an_endpoint_that_is_a_url_is_to_be_host_and_port() {
    let message = "the endpoint is a URL, expected host:port without https://";
    in_peer("Endpoint = https://example.org:51820", 12, message);
    in_peer("Endpoint = udp://[2001:db8::1]:51820/", 12, message);
}

#[test]
fn text_that_is_not_utf_8_says_so() {
    fn said(bytes: &[u8]) -> Result<&str, String> {
        text_of(bytes).map_err(|error| error.to_string())
    }
    let utf16 = "the text is UTF-16: save it as UTF-8";
    let first = Err(format!("line 1, column 1: {utf16}"));
    let wide = |order: fn(u16) -> [u8; 2], text: &str| -> Vec<u8> {
        text.encode_utf16().flat_map(order).collect()
    };
    for text in ["\u{feff}[Interface]\n", "\u{feff}"] {
        assert_eq!(said(&wide(u16::to_le_bytes, text)), first);
        assert_eq!(said(&wide(u16::to_be_bytes, text)), first);
    }
    // Without its mark, what is ASCII in UTF-16 is UTF-8 with zeros.
    for order in [u16::to_le_bytes, u16::to_be_bytes] {
        let wide = wide(order, INTERFACE);
        let error = Config::parse(text_of(&wide).unwrap()).unwrap_err().to_string();
        assert!(error.starts_with("line 1, column ") && error.ends_with(utf16), "{error}");
    }
    let latin1 = "line 2, column 8: the text is not UTF-8: save it as UTF-8";
    assert_eq!(said(b"[Interface]\n# \xc3\xa9 ab \xe9\n"), Err(latin1.to_string()));
    assert_eq!(said(INTERFACE.as_bytes()), Ok(INTERFACE));
}
