//! The example, as one runs it.

use std::process::Command;

#[test]
fn posts_arrive_and_the_program_ends() {
    let output = Command::new(env!("CARGO_BIN_EXE_uptime-post")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.matches("posted: 200").count(), 3, "{said}");
    assert!(said.contains("the server heard of ["), "{said}");
    assert!(said.contains("tunnel: Up"), "{said}");
}
