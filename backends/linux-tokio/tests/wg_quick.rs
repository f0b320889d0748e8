//! The wg-quick file, read by the real `wg-quick` and `wg` and by us.
//!
//! Needs `wg-quick` and `wg`, of Debian's wireguard-tools. Where they are missing the tests are
//! skipped; with `CI` set they fail.

use std::fs;
use std::process::Command;

use wg_core::config::Config;

const KEY: &str = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=";
const PEER: &str = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";

/// What a reader makes of a file.
#[derive(PartialEq, Eq, Debug, Default)]
struct Meaning {
    addresses: Vec<String>,
    dns: Vec<String>,
    search: Vec<String>,
    mtu: String,
    table: String,
    post_up: Vec<String>,
}

/// `wg-quick` reads its keys, and `wg` what is left of the file. `None`: one of them refuses.
fn theirs(text: &str) -> Option<Meaning> {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path("wgtest0.conf"), text).unwrap();
    let program = Command::new("sh").args(["-c", "command -v wg-quick"]).output().unwrap();
    let source = fs::read_to_string(String::from_utf8(program.stdout).unwrap().trim()).unwrap();
    let functions = source.split("# ~~ function override insertion point ~~").next().unwrap();
    // The words are expanded where the file lies, so that a `*` finds no file.
    let print = r#"
        cd "${1%/*}" && mkdir empty && cd empty && parse_options "$1" || exit 1
        for list in ADDRESSES DNS DNS_SEARCH MTU TABLE POST_UP; do
            eval 'for word in "${'$list'[@]}"; do [[ -z $word ]] || echo "'$list' $word"; done'
        done
        echo "$WG_CONFIG" > "$2"
    "#;
    fs::write(path("quick"), format!("{functions}{print}")).unwrap();
    let read = Command::new("bash")
        .args([path("quick"), path("wgtest0.conf"), path("stripped")])
        .output()
        .unwrap();
    // The interface is missing, which `wg` says only once it has understood the file.
    let wg = Command::new("wg").args(["setconf", "wgtest0", &path("stripped")]).output().unwrap();
    let said = String::from_utf8_lossy(&wg.stderr).into_owned();
    let understood = said.contains("Unable to modify interface");
    let refused = ["Configuration parsing error", "Invalid configuration"];
    let one_or_the_other = understood != refused.iter().any(|words| said.contains(words));
    assert!(one_or_the_other || !read.status.success(), "{said}");
    if !read.status.success() || !understood {
        return None;
    }
    let mut meaning = Meaning::default();
    for line in String::from_utf8(read.stdout).unwrap().lines() {
        let (list, word) = line.split_once(' ').unwrap();
        match list {
            "ADDRESSES" => meaning.addresses.push(with_prefix(word)),
            "DNS" => meaning.dns.push(word.to_owned()),
            "DNS_SEARCH" => meaning.search.push(word.to_owned()),
            "MTU" => word.clone_into(&mut meaning.mtu),
            "TABLE" => word.clone_into(&mut meaning.table),
            _ => meaning.post_up.push(word.to_owned()),
        }
    }
    Some(meaning)
}

/// As `ip` reads an address.
fn with_prefix(address: &str) -> String {
    match address {
        _ if address.contains('/') => address.to_owned(),
        _ if address.contains(':') => format!("{address}/128"),
        _ => format!("{address}/32"),
    }
}

fn ours(text: &str) -> Option<Meaning> {
    let file = Config::parse(text).ok()?;
    let host =
        |key| file.host_settings().filter(move |(k, _)| *k == key).map(|(_, v)| v.to_owned());
    Some(Meaning {
        addresses: file.addresses().map(|address| address.to_string()).collect(),
        dns: file.dns_servers().map(|server| server.to_string()).collect(),
        search: file.dns_search().map(str::to_owned).collect(),
        mtu: file.mtu().map(|mtu| mtu.to_string()).unwrap_or_default(),
        table: host("Table").next().unwrap_or_default(),
        post_up: host("PostUp").collect(),
    })
}

fn tools_are_here() -> bool {
    let found = Command::new("sh").args(["-c", "command -v wg-quick wg bash"]).output().unwrap();
    assert!(found.status.success() || std::env::var_os("CI").is_none(), "needs wireguard-tools");
    found.status.success()
}

#[test]
fn what_wg_quick_and_wg_take_we_take_and_it_means_the_same() {
    if !tools_are_here() {
        return eprintln!("skipped: needs wireguard-tools");
    }
    let key = format!("PrivateKey = {KEY}\n");
    let peer = format!("[Peer]\nPublicKey = {PEER}\n");
    for lines in [
        "",
        "Address = 10.0.0.2/24, fd00::2/64",
        "Address = ,10.0.0.2/24,,fd00::2/64 192.0.2.1\t, ,",
        "Address = 10.0.0.2\nAddress =\naddress = ::1 # , 10.0.0.3",
        "DNS = 1.1.1.1,, ::1 corp.example,",
        "DNS =\nDNS = corp lan_1 -x *.example 4.example büro.example",
        "DNS = ,",
        "MTU =\nTable =\nPostUp =\nPreDown =",
        "MTU = 1400\nmtu = 1300\nTable = off\nTABLE = auto",
        "MTU = 1400\nMTU =\nTable = off\nTable =",
        "PostUp = echo = 1; true # not this\nPostUp =\nPostUp = true\nSaveConfig = false",
        "ListenPort = 1\nListenPort = 2\nFwMark = 0x5\nFwMark = off",
        "[Interface]\nAddress = 10.0.0.2/24\n[interface] # again\nMTU = 1280",
        &format!("{peer}AllowedIPs = ::/0 , 10.0.0.0/8\n[Interface]\nDNS = 1.1.1.1"),
        &format!("{peer}PublicKey = {KEY}\nEndpoint = 192.0.2.1:1\nEndpoint = [::1]:2"),
        &format!("{peer}AllowedIPs = ::1\n{peer}AllowedIPs = ::2"),
        &format!("{peer}PersistentKeepalive = 5\nPersistentKeepalive = off\nPresharedKey = {KEY}"),
    ] {
        for key in ["", &key, &key.repeat(2)] {
            let text = format!("[Interface]\n{key}{lines}\n");
            let read = ours(&text);
            assert!(read.is_some(), "{:?}\n{text}", Config::parse(&text).err());
            assert_eq!(read, theirs(&text), "{text}");
        }
    }
}

#[test]
fn what_wg_quick_or_wg_refuses_we_refuse_but_for_what_is_documented() {
    if !tools_are_here() {
        return eprintln!("skipped: needs wireguard-tools");
    }
    let peer = format!("[Peer]\nPublicKey = {PEER}\n");
    for lines in [
        "Jc = 4",
        "Reserved = 1, 2, 3",
        "ListenPort =",
        "FwMark = 0x100000000",
        "SaveConfig =",
        "PrivateKey = secret",
        &format!("PrivateKey = \"{KEY}\""),
        &format!("PrivateKey = {KEY}\u{a0}"),
        "[Peer]",
        "[Peers]",
        "Endpoint = 192.0.2.1:1",
        &format!("{peer}MTU = 1420"),
        &format!("{peer}AllowedIPs = ::/0,"),
        &format!("{peer}AllowedIPs = ::/0,, 10.0.0.0/8"),
        &format!("{peer}AllowedIPs = 10.0.0.0/33"),
        &format!("{peer}Endpoint = 192.0.2.1"),
        &format!("{peer}Endpoint = [::1]"),
        &format!("{peer}PersistentKeepalive = 65536"),
        &format!("{peer}PersistentKeepalive ="),
        &format!("{peer}PresharedKey ="),
    ] {
        let text = format!("[Interface]\n{lines}\n");
        assert_eq!(ours(&text), None, "{text}");
        assert_eq!(theirs(&text), None, "{text}");
    }
    // Documented beside the table: taken here alone, and refused here alone.
    for ours_alone in
        ["[ Interface ]\nMTU = 1420", "\u{feff}[Interface]", "[Interface]\nSaveConfig = maybe"]
    {
        assert!(ours(ours_alone).is_some() && theirs(ours_alone).is_none(), "{ours_alone}");
    }
    assert!(ours(&format!("[Interface]\n{peer}AllowedIPs =\n")).is_some());
    for theirs_alone in [
        peer.clone(),
        format!("[Interface]\nPrivateKey = {}\n", KEY.replace('+', "+ ")),
        format!("[Interface]\n{peer}Endpoint = ::1:2\n"),
        "[Interface]\nListenPort = 65536\n".to_owned(),
        "[Interface]\nListenPort = domain\n".to_owned(),
        "[Interface]\nMTU = 67\n".to_owned(),
        "[Interface]\nAddress = a\n".to_owned(),
        "[Interface]\nDNS = 1.1.1\n".to_owned(),
        "[Interface]\nDNS = \"corp\"\n".to_owned(),
    ] {
        assert!(theirs(&theirs_alone).is_some(), "{theirs_alone}");
        assert!(ours(&theirs_alone).is_none(), "{theirs_alone}");
    }
}
