//! `segment-s3 demo`, as it is called.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

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
    let mut command = Command::new(env!("CARGO_BIN_EXE_segment-s3"));
    command.arg("demo").arg("--samples").arg(samples).arg("--folder").arg(folder);
    command.env_clear().envs(environment.iter().copied()).output().unwrap()
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn what_the_environment_says_of_the_way_to_aws_does_not_matter_on_loopback() {
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
