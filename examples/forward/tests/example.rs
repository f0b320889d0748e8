//! The example, as one runs it.

use std::process::Command;

#[test]
fn connections_cross_the_tunnel_and_long_packets_are_answered() {
    let output = Command::new(env!("CARGO_BIN_EXE_forward")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    for there in ["192.168.2.2", "fd00:0:0:2::2"] {
        assert!(said.contains(&format!("TCP      200000 bytes to {there} and back")), "{said}");
        let told = format!("1500 bytes to {there}: the board says, at most 1420");
        assert!(said.contains(&told), "{said}");
    }
}
