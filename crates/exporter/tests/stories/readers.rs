//! The programs that people read the logs with.

use std::io::ErrorKind;
use std::process::Command;

use crate::world::{SOURCE, World, tick};

const PYTHON: &str = "import gzip, sys; sys.stdout.buffer.write(gzip.open(sys.argv[1]).read())";
const NODE: &str = "process.stdout.write(require('zlib').gunzipSync(require('fs').readFileSync(process.argv[1])))";

/// The output of a program for a file; `None` if the machine does not have the program.
fn read_with(program: &str, arguments: &[&str], file: &str) -> Option<Vec<u8>> {
    match Command::new(program).args(arguments).arg(file).output() {
        Ok(output) => {
            assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
            Some(output.stdout)
        }
        Err(error) if error.kind() == ErrorKind::NotFound && std::env::var_os("CI").is_none() => None,
        Err(error) => panic!("{program}: {error}"),
    }
}

/// Both kinds of objects: joined fragments, and small fragments that are compressed again. (flate2's reader of a single
/// member reads them in every other story.)
#[tokio::test]
async fn zcat_python_and_node_read_every_object() {
    for events in [3, 200] {
        let mut world = World::with(&["their-logs"]).await;
        for request in 0..5 {
            world.receive(SOURCE, &format!("r{request}"), events);
        }
        tick(&world.app()).await;
        world.assert_complete("their-logs");
        let mut received = world.received[SOURCE].clone();
        received.sort();

        let [key] = &world.s3.keys("their-logs", "")[..] else { panic!("one object") };
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("object.gz");
        std::fs::write(&file, world.s3.bytes("their-logs", key).unwrap()).unwrap();
        let file = file.to_str().unwrap();
        let readers: [(&str, &[&str]); 3] = [("zcat", &[]), ("python3", &["-c", PYTHON]), ("node", &["-e", NODE])];
        for (program, arguments) in readers {
            let Some(text) = read_with(program, arguments, file) else { continue };
            let text = String::from_utf8(text).unwrap();
            let mut lines: Vec<&str> = text.lines().collect();
            lines.sort_unstable();
            assert_eq!(lines, received, "{program}");
        }
    }
}
