//! The files of the folder, and restarts of the server.

use std::fs;

use standins::s3::{Filter, Server, Versioning};

#[tokio::test]
async fn ordinary_keys_are_ordinary_files() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::folder(folder.path()).with_bucket("source").start().await.unwrap();
    server.put("source", "in/größe 1.csv", "hello").unwrap();
    let path = folder.path().join("source/in/größe 1.csv");
    assert_eq!(fs::read_to_string(&path).unwrap(), "hello");
    server.put("source", "in/größe 1.csv", "again").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "again");
    server.delete("source", "in/größe 1.csv").unwrap();
    assert!(!path.exists() && !folder.path().join("source/in").exists());
}

#[tokio::test]
async fn nothing_leaves_the_folder() {
    let outer = tempfile::tempdir().unwrap();
    let root = outer.path().join("root");
    fs::create_dir(&root).unwrap();
    let server = Server::folder(&root).with_bucket("source").start().await.unwrap();
    for key in ["../../escaped", "/escaped", "..", ".", "a/../../../escaped"] {
        server.put("source", key, "x").unwrap();
    }
    let outside: Vec<_> = fs::read_dir(outer.path()).unwrap().collect();
    assert_eq!(outside.len(), 1);
    let in_bucket: Vec<_> = fs::read_dir(root.join("source")).unwrap().collect();
    assert_eq!(in_bucket.len(), 0);
}

#[tokio::test]
async fn a_restarted_server_finds_everything_again() {
    let folder = tempfile::tempdir().unwrap();
    let keys = ["plain", "a", "a/b", "odd//key", "..", "trailing/"];
    let before = {
        let server = Server::folder(folder.path()).with_versioned_bucket("source").start().await.unwrap();
        for key in keys {
            server.put("source", key, format!("old {key}")).unwrap();
            server.put_with("source", key, format!("new {key}"), &[("name", key)]).unwrap();
        }
        server.delete("source", "plain").unwrap();
        format!("{:?}", server.versions("source", ""))
    };
    let server = Server::folder(folder.path()).start().await.unwrap();
    assert_eq!(format!("{:?}", server.versions("source", "")), before);
    for key in &keys[1..] {
        assert_eq!(server.bytes("source", key).unwrap(), format!("new {key}"));
        assert_eq!(server.object("source", key).unwrap().metadata["name"], *key);
    }
    assert!(server.bytes("source", "plain").is_none());
    // The settings are found again too: this put makes a version and replaces none.
    server.put("source", "plain", "x").unwrap();
    assert_eq!(server.versions("source", "plain").len(), 4);
}

#[tokio::test]
async fn any_legal_bucket_name_works() {
    let folder = tempfile::tempdir().unwrap();
    let names = ["drafts", "bucket.json", "meta", "versions", "odd"];
    {
        let mut setup = Server::folder(folder.path());
        for name in names {
            setup = setup.with_versioned_bucket(name);
        }
        let server = setup.start().await.unwrap();
        for name in names {
            server.put_with(name, "k", "old", &[("name", name)]).unwrap();
            server.put_with(name, "k", "new", &[("name", name)]).unwrap();
        }
    }
    let server = Server::folder(folder.path()).start().await.unwrap();
    for name in names {
        assert_eq!(server.bytes(name, "k").unwrap(), "new", "{name}");
        assert_eq!(server.object(name, "k").unwrap().metadata["name"], name);
        assert_eq!(server.versions(name, "k").len(), 2, "{name}");
    }
}

#[tokio::test]
async fn files_put_there_by_hand_are_objects() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("source/in")).unwrap();
    fs::write(folder.path().join("source/in/before.csv"), "before").unwrap();
    let server = Server::folder(folder.path()).with_bucket("source").start().await.unwrap();
    assert_eq!(server.bytes("source", "in/before.csv").unwrap(), "before");
    server.put("source", "kept", "x").unwrap();
    server.put("source", "removed", "x").unwrap();
    server.put("source", "changed", "old").unwrap();

    let mut events = server.notifications("source", Filter::all());
    fs::write(folder.path().join("source/added.csv"), "added").unwrap();
    fs::write(folder.path().join("source/changed"), "changed").unwrap();
    fs::remove_file(folder.path().join("source/removed")).unwrap();
    let mut seen = server.rescan().unwrap();
    seen.sort();
    let source = |key: &str| ("source".to_owned(), key.to_owned());
    assert_eq!(seen, [source("added.csv"), source("changed")]);
    assert_eq!(server.keys("source", ""), ["added.csv", "changed", "in/before.csv", "kept"]);
    assert_eq!(server.object("source", "changed").unwrap().etag, "8977dfac2f8e04cb96e66882235f5aba");
    assert!(events.try_recv().is_ok() && events.try_recv().is_ok() && events.try_recv().is_err());
    assert_eq!(server.rescan().unwrap(), []);
}

#[tokio::test]
async fn settings_of_a_bucket_can_be_changed_and_a_bucket_removed() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::folder(folder.path()).with_bucket("source").start().await.unwrap();
    server.set_versioning("source", Versioning::Enabled).unwrap();
    server.put("source", "k", "1").unwrap();
    server.put("source", "k", "2").unwrap();
    assert_eq!(server.versions("source", "").len(), 2);
    server.remove_bucket("source").unwrap();
    assert!(!folder.path().join("source").exists());
    server.create_bucket("source").unwrap();
    assert_eq!(server.versions("source", "").len(), 0);
}
