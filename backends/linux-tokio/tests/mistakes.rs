//! What the program says when something is wrong: one sentence, and no panic.

use std::fs;
use std::io::Write;
use std::process::{Command, Output, Stdio};

const PRIVATE: &str = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=";
const PUBLIC: &str = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";

fn wg_tokio(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_wg-tokio"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// Runs a configuration that cannot work; gives the exit code and what was said, in which the
/// folder's name is left out.
fn run(config: impl AsRef<[u8]>, more: &[&str]) -> (i32, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wg-err.conf");
    fs::write(&path, config).unwrap();
    let mut arguments = vec!["run", "--config", path.to_str().unwrap()];
    arguments.extend(more);
    let output = wg_tokio(&arguments, "");
    let folder = format!("{}/", folder.path().display());
    let said = String::from_utf8(output.stderr).unwrap().replace(&folder, "");
    (output.status.code().unwrap(), said.lines().last().unwrap_or_default().to_owned())
}

#[test]
fn a_mistake_in_the_configuration_has_file_line_and_column() {
    for (config, said) in [
        ("", "wg-err.conf:1:1: there is no [Interface], expected one"),
        (
            "[Interface]\nPrivateKey = secret\n",
            "wg-err.conf:2:14: the key has the length 6, expected 44 characters of base64",
        ),
        (
            &format!("[Interface]\nPrivateKey = {PRIVATE}\nListenPort = 65536\n"),
            "wg-err.conf:3:14: the port is wrong, expected a number from 0 to 65535",
        ),
        (
            &format!(
                "[Interface]\nPrivateKey = {PRIVATE}\n\n[Peer]\nPublicKey = {PUBLIC}\nEndpoint = ::1:2\n"
            ),
            "wg-err.conf:6:12: the endpoint has no brackets, expected [IPv6 address]:port",
        ),
    ] {
        assert_eq!(run(config, &[]), (2, format!("wg-tokio: {said}")));
    }
}

#[test]
fn a_file_in_utf_16_is_to_be_saved_as_utf_8() {
    let file = "\u{feff}[Interface]\r\n".encode_utf16().flat_map(u16::to_le_bytes);
    let said = "wg-tokio: wg-err.conf:1:1: the text is UTF-16: save it as UTF-8";
    assert_eq!(run(file.collect::<Vec<u8>>(), &[]), (2, said.to_owned()));
}

#[test]
fn other_mistakes_are_sentences_too() {
    let good = format!("[Interface]\nPrivateKey = {PRIVATE}\n");
    let table = format!("{good}Table = main\n");
    for (config, more, code, said) in [
        (&table, &[][..], 2, "Table = main is no routing table: write off, auto or a number"),
        (&good, &["--interface", "a/b"][..], 2, "\"a/b\" cannot be an interface's name"),
        (&good, &["--interface", "lo"][..], 1, "there is an interface lo already: remove it"),
        (
            &good,
            &["--state", "/nowhere/state"][..],
            1,
            "cannot keep timestamps in /nowhere/state: No such file or directory",
        ),
    ] {
        let (exit, line) = run(config, more);
        assert!(line.starts_with(&format!("wg-tokio: {said}")), "{line}");
        assert_eq!(exit, code, "{line}");
    }
    for key in [String::new(), format!("PrivateKey = {}=\n", "A".repeat(43))] {
        let said = "wg-err.conf has no PrivateKey: add one to [Interface], as wg-tokio genkey \
                    prints it";
        assert_eq!(run(format!("[Interface]\n{key}"), &[]), (2, format!("wg-tokio: {said}")));
    }
    let missing = wg_tokio(&["run", "--config", "/nowhere/wg0.conf"], "");
    assert_eq!(missing.status.code(), Some(2));
    assert_eq!(
        String::from_utf8(missing.stderr).unwrap(),
        "wg-tokio: cannot read /nowhere/wg0.conf: No such file or directory (os error 2)\n"
    );
}

/// In a namespace in which we may do nothing.
#[test]
fn without_permission_it_says_what_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wg-none.conf");
    fs::write(&path, format!("[Interface]\nPrivateKey = {PRIVATE}\n")).unwrap();
    let output = Command::new("setpriv")
        .args(["--bounding-set=-all", "--inh-caps=-all", env!("CARGO_BIN_EXE_wg-tokio")])
        .args(["run", "--config", path.to_str().unwrap()])
        .output();
    let said = match output {
        Ok(output) => String::from_utf8(output.stderr).unwrap(),
        Err(error) => error.to_string(),
    };
    if said.contains("setpriv") || said.contains("No such file") {
        assert!(std::env::var_os("CI").is_none(), "{said}");
        eprintln!("skipped: {said}");
        return;
    }
    assert!(
        said.ends_with(
            "wg-tokio: no permission to make the interface wg-none: run as root, or with \
             CAP_NET_ADMIN and access to /dev/net/tun\n"
        ),
        "{said}"
    );
}

#[test]
fn keys_are_made_and_read() {
    let private = wg_tokio(&["genkey"], "").stdout;
    let private = String::from_utf8(private).unwrap();
    assert_eq!(private.len(), 45);
    let public = String::from_utf8(wg_tokio(&["pubkey"], &private).stdout).unwrap();
    let ours: wg_core::PrivateKey = private.trim().parse().unwrap();
    assert_eq!(public.trim(), ours.public_key().to_string());
    assert_eq!(wg_tokio(&["genpsk"], "").stdout.len(), 45);

    let wrong = wg_tokio(&["pubkey"], "nonsense");
    assert_eq!(wrong.status.code(), Some(2));
    assert_eq!(
        String::from_utf8(wrong.stderr).unwrap(),
        "wg-tokio: standard input is no private key: the key has the length 8, expected 44 \
         characters of base64\n"
    );
}

#[test]
fn check_says_what_a_file_means_and_what_is_doubtful() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wg0.conf");
    let check = |text: &str| {
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let output = wg_tokio(&["check", path.to_str().unwrap()], "");
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let own: wg_core::PrivateKey = PRIVATE.parse().unwrap();
    let own = own.public_key();
    let text = format!(
        "[Interface]\nPrivateKey = {PRIVATE}\nAddress = 10.9.0.1/24\nPostUp = ls\nDNS = 10.0.0.1\n\
         [Peer]\nPublicKey = {PUBLIC}\nEndpoint = vpn.example:7\nAllowedIPs = 0.0.0.0/0\n\
         [Peer]\nPublicKey = {own}\nAllowedIPs = 0.0.0.0/0\n"
    );
    assert_eq!(
        check(&text),
        (
            Some(0),
            format!(
                "This end {own} on any UDP port: 10.9.0.1/24\n\
                 Peer {own}, which has to call: 0.0.0.0/0\n\
                 Peer {PUBLIC} at vpn.example:7, which is looked up: 0.0.0.0/0\n\
                 A default route: all that has no more special route goes into the tunnel, but for \
                 datagrams with the mark 51820, its own.\n\
                 But PostUp is left to you: no commands are run and nothing is saved.\n\
                 But DNS is left to you: how names are resolved is not changed.\n\
                 But the peer {own} is this end itself, and is left out.\n\
                 But {own} cannot know where to call: set a ListenPort.\n\
                 But 0.0.0.0/0 is given to {PUBLIC} and then to {own}, who has it.\n"
            )
        )
    );
    assert_eq!(check("[Interface]\nPrivateKey = x\n"), (Some(2), String::new()));
}
