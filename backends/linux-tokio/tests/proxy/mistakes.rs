//! A start that fails: one sentence.

use std::process::Command;

use crate::Ends;

#[test]
fn a_mistake_is_one_sentence_and_its_exit_code() {
    let ends = Ends::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let interface = ends.client.split("[Peer]").next().unwrap();
    let without = |line: &str| {
        let lines = ends.client.lines().filter(|of_file| !of_file.starts_with(line));
        lines.map(|line| format!("{line}\n")).collect::<String>()
    };
    for (text, more, code, said) in [
        (interface, &[][..], 2, "has no [Peer]: there is nobody to talk to"),
        (&without("PrivateKey"), &[], 2, "has no PrivateKey: add one to [Interface], as"),
        (&without("Address"), &["--listen", "0"], 2, "there is no Address: without one nothing"),
        ("[Interface]\nAddress = x\n", &[], 2, "wg0.conf:2:11: "),
        (&ends.client, &["--listen", &taken], 1, "Address already in use"),
        (&ends.client, &["--forward", "80"], 2, "there is no ="),
        (&ends.client, &["--expose", "80=x"], 2, "\"x\" is no [ADDRESS:]PORT"),
        (
            &ends.client,
            &["--expose", "80=1", "--expose", "80=2"],
            2,
            "cannot expose port 80: port 80 of this host in the tunnel is in use",
        ),
        (&ends.client, &["--state", "/nowhere/state"], 1, "cannot keep timestamps in /nowhere"),
    ] {
        let path = ends.file("wg0.conf", text);
        let output = Command::new(env!("CARGO_BIN_EXE_wg-tokio"))
            .args(["proxy", "--config"])
            .arg(&path)
            .args(more)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(said), "{said}: {text}");
        assert!(!text.contains("panicked"), "{text}");
        assert_eq!(output.status.code(), Some(code), "{text}");
    }
}
