//! The Lambda shell.
fn main() {}
