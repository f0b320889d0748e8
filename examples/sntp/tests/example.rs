//! The example, as one runs it.

use std::process::Command;

#[test]
fn a_board_learns_the_servers_time() {
    let output = Command::new(env!("CARGO_BIN_EXE_sntp")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("time     2000000000 s since 1970"), "{said}");
}
