//! The example, as one runs it.

use std::process::Command;

#[test]
fn one_name_is_found_and_another_is_not() {
    let output = Command::new(env!("CARGO_BIN_EXE_dns")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("collector.example is 192.0.2.7"), "{said}");
    assert!(said.contains("nobody.example is not found"), "{said}");
    assert!(said.contains("server   is asked for nobody.example"), "{said}");
}
