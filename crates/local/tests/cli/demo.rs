//! `segment-s3 demo` as a process.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn folder(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples")
}

fn demo(samples: &Path, folder: &Path, environment: &[(&str, &str)]) -> Output {
    command(samples, folder).envs(environment.iter().copied()).output().unwrap()
}

fn command(samples: &Path, folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_segment-s3"));
    command.arg("demo").arg("--samples").arg(samples).arg("--folder").arg(folder).env_clear();
    command
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn every_row_of_a_file_larger_than_segments_debugger_is_accounted_for() {
    let folder = folder("demo-large");
    let samples = folder.join("samples");
    std::fs::create_dir(&samples).unwrap();
    let rows: String = (0..600).map(|row| format!("user-{row},Row Seen\n")).collect();
    std::fs::write(samples.join("track_1.csv"), format!("userId,event\n{rows}")).unwrap();
    let output = demo(&samples, &folder.join("demo"), &[]);
    let told = told(&output);
    assert!(output.status.success(), "{told}");
    assert!(told.contains("✓ Segment received 600 calls and 0 objects"), "{told}");
    assert!(told.contains("✓ each of the 600 acknowledged calls is found once in the logs (600 lines)"), "{told}");
}

#[test]
fn a_refused_file_shows_no_call_and_fails_the_account() {
    let folder = folder("demo-refused");
    let samples = folder.join("samples");
    std::fs::create_dir(&samples).unwrap();
    std::fs::write(samples.join("orders.csv"), "userId,event\nu1,a\n").unwrap();
    std::fs::write(samples.join("track_1.csv"), "userId,event\nu2,b\n").unwrap();
    let output = demo(&samples, &folder.join("demo"), &[]);
    let told = told(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    let shown = told.split("\n2  ").nth(1).unwrap().split("\n3  ").next().unwrap();
    assert!(shown.contains("track_1.csv") && !shown.contains("orders.csv"), "{shown}");
    assert!(told.contains("✗ 1 of 2 files finished"), "{told}");
    assert!(told.contains("✗ 1 rows = 1 acknowledged + 0 rejected; orders.csv holds 1, and 0 were read"), "{told}");
}

#[test]
fn a_closed_pipe_does_not_end_the_demo() {
    let mut command = command(&samples(), &folder("demo-pipe").join("demo"));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), told(&output).as_str()), (Some(0), ""));
}

#[test]
fn proxy_and_endpoint_variables_do_not_affect_the_demo() {
    let dead = "http://127.0.0.1:9";
    let environment = [
        ("HTTP_PROXY", dead),
        ("http_proxy", dead),
        ("ALL_PROXY", dead),
        ("AWS_ENDPOINT_URL", dead),
        ("AWS_ENDPOINT_URL_S3", dead),
        ("AWS_USE_FIPS_ENDPOINT", "true"),
        ("AWS_USE_DUALSTACK_ENDPOINT", "true"),
        ("AWS_PROFILE", "nobody"),
    ];
    let output = demo(&samples(), &folder("demo-environment").join("demo"), &environment);
    assert!(output.status.success(), "{}", told(&output));
}

#[test]
fn lines_before_the_header_that_a_mapping_skips_are_no_rows_of_the_account() {
    let folder = folder("demo-skip");
    let samples = folder.join("samples");
    std::fs::create_dir(&samples).unwrap();
    let document = "[[mapping]]\nname = \"m\"\nmatch = \"report*.csv\"\ncall = \"identify\"\nskip_lines = 3\n\
        columns.\"Id\" = \"userId\"\ncolumns.\"Plan\" = \"traits.plan\"\n";
    std::fs::write(samples.join("segment-s3.toml"), document).unwrap();
    std::fs::write(samples.join("report_1.csv"), "Report, of: today\n\n\nId,Plan\na,pro\nb,free\n").unwrap();
    let output = demo(&samples, &folder.join("demo"), &[]);
    let told = told(&output);
    assert!(output.status.success(), "{told}");
    assert!(told.contains("✓ 2 rows = 2 acknowledged + 0 rejected"), "{told}");
}

#[test]
fn the_exports_of_five_tools_become_calls_by_their_mappings_and_the_account_closes() {
    let output = demo(&samples(), &folder("demo-exports").join("demo"), &[]);
    let told = told(&output);
    assert!(output.status.success(), "{told}");
    for mapping in ["hubspot-contacts", "shopify-customers", "stripe-payments", "mailchimp-audience", "erp-customers"] {
        assert!(told.contains(&format!("mapping {mapping}")), "{mapping} in {told}");
    }
    assert!(told.contains("mapping shopify-orders: 25 rows, grouped into 20 calls"), "{told}");
    assert!(told.contains("✓ 190 rows = 186 acknowledged + 4 rejected; mappings skipped 6 more"), "{told}");
    assert!(told.contains("✓ each of the 173 acknowledged calls is found once in the logs (173 lines)"), "{told}");
}
