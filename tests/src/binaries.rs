//! The functions' binaries, built from the current sources.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// What is deployed.
const FUNCTIONS: [&str; 3] = ["ingester", "exporter", "receiver"];

/// A binary of the workspace, as of now: the first call builds all of them with the story's own profile. If the environment
/// has `BOOTSTRAPS`, a function is the file of its name in that folder, as it was packaged.
///
/// # Panics
/// When the build fails, or the folder has no such file.
pub fn binary(name: &str) -> PathBuf {
    if let Some(packaged) = std::env::var_os("BOOTSTRAPS")
        && FUNCTIONS.contains(&name)
    {
        let binary = crate::root().join(packaged).join(name);
        assert!(binary.is_file(), "BOOTSTRAPS has no {}", binary.display());
        return binary;
    }
    static BUILT: OnceLock<()> = OnceLock::new();
    let folder = profile_folder();
    BUILT.get_or_init(|| build(&folder));
    folder.join(name)
}

/// The folder of everything that cargo builds, `target` or where the environment has it.
pub(crate) fn target_folder() -> PathBuf {
    profile_folder().parent().unwrap().to_owned()
}

/// `target/debug`, or the folder of another profile. Stories are in its `deps`, examples in its `examples`.
fn profile_folder() -> PathBuf {
    std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().to_owned()
}

/// The whole workspace and one small test are asked for. So dependencies have the same features as in `make test`, and
/// are not built again.
fn build(folder: &Path) {
    let profile = match folder.file_name().unwrap().to_str().unwrap() {
        "debug" => "dev",
        other => other,
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    // Cargo's variables for this test would make build scripts run again, and with them most of the dependencies.
    let of_this_test = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_", "CARGO_BIN_"];
    for (name, _) in std::env::vars_os() {
        if of_this_test.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    let status = command
        .args(["build", "--quiet", "--locked", "--offline", "--workspace", "--bins"])
        .args(["--test", "documents", "--profile", profile])
        .arg("--target-dir")
        .arg(folder.parent().unwrap())
        .current_dir(crate::root())
        .status()
        .unwrap();
    assert!(status.success(), "the functions do not build: {status}");
}
