//! The example, as one runs it.

use std::process::Command;

#[test]
fn two_clients_meet_at_a_broker() {
    let output = Command::new(env!("CARGO_BIN_EXE_mqtt")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.matches("rust-mqtt published").count(), 3, "{said}");
    assert_eq!(said.matches("minimq   received").count(), 3, "{said}");
}
