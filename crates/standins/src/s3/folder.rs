//! Objects in a folder. Ordinary keys are ordinary files, all others are in a separate folder.
//!
//! ```text
//! root/bucket/in/track_1.csv        the newest version of `in/track_1.csv`
//! root/.s3/bucket/bucket.json       the bucket's settings
//! root/.s3/bucket/meta/….json       per key: its versions, and where their bytes are
//! root/.s3/bucket/odd/…             bytes of keys that cannot be file names
//! root/.s3/bucket/versions/…        bytes of older versions
//! root/.s3/.drafts/…                uploads under way
//! ```
//!
//! No bucket's name begins with a dot, so neither `.s3` nor `.drafts` can be a bucket.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use super::body::{Blob, Draft};
use super::checksums::{self, Checksums};
use super::version::{Attributes, Bucket, BucketSettings, Meta, NULL_VERSION, Version};
use crate::dice;

/// Characters that stay in escaped names.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

/// Linux: 255 bytes a name. Escaped names leave room for an ending.
const NAME_BYTES_MAX: usize = 255;
const ESCAPED_BYTES_MAX: usize = 180;

/// Below the root.
const DRAFTS: &str = ".s3/.drafts";

#[derive(Debug)]
pub(crate) struct Folder {
    root: PathBuf,
}

/// `meta/….json`
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    key: String,
    versions: Vec<RecordedVersion>,
}

#[derive(Debug, Serialize, Deserialize)]
struct RecordedVersion {
    #[serde(flatten)]
    meta: Meta,
    /// Relative to the root; none for delete markers.
    file: Option<PathBuf>,
    /// To see that a file was changed by hand.
    file_modified_ms: i64,
}

impl Folder {
    pub(crate) fn open(root: PathBuf) -> io::Result<Folder> {
        let drafts = root.join(DRAFTS);
        // Leftovers of a killed server.
        if drafts.exists() {
            fs::remove_dir_all(&drafts)?;
        }
        fs::create_dir_all(&drafts)?;
        Ok(Folder { root })
    }

    pub(crate) fn draft(&self) -> io::Result<Draft> {
        Draft::in_folder(&self.root.join(DRAFTS))
    }

    /// A new name among the older versions of a bucket.
    pub(crate) fn side_path(&self, bucket: &str) -> io::Result<PathBuf> {
        let folder = self.side(bucket).join("versions");
        fs::create_dir_all(&folder)?;
        Ok(folder.join(dice::token(16)))
    }

    pub(crate) fn write_bucket(&self, bucket: &str, settings: &BucketSettings) -> io::Result<()> {
        fs::create_dir_all(self.root.join(bucket))?;
        fs::create_dir_all(self.side(bucket))?;
        let json = serde_json::to_vec_pretty(settings)?;
        self.write(&self.side(bucket).join("bucket.json"), &json)
    }

    pub(crate) fn remove_bucket(&self, bucket: &str) -> io::Result<()> {
        fs::remove_dir_all(self.root.join(bucket))?;
        fs::remove_dir_all(self.side(bucket))
    }

    /// Writes the files of one key. The newest version is at its ordinary path if possible, the others are elsewhere,
    /// those in `gone` are removed. Then writes the index.
    pub(crate) fn settle(
        &self,
        bucket: &str,
        key: &str,
        versions: &mut [Version],
        gone: Vec<Version>,
    ) -> io::Result<()> {
        let ordinary = self.ordinary_path(bucket, key);
        let odd = self.odd_path(bucket, key);
        let newest = versions.len().saturating_sub(1);
        for (at, version) in versions.iter_mut().enumerate() {
            let Blob::File(path) = &version.blob else { continue };
            if at < newest && (ordinary.as_ref() == Some(path) || odd == *path) {
                let aside = self.side_path(bucket)?;
                fs::rename(path, &aside)?;
                version.blob = Blob::File(aside);
            }
        }
        if let Some(Version { blob: Blob::File(path), .. }) = versions.last_mut() {
            let home = match ordinary {
                Some(ordinary) if make_room(&ordinary) => ordinary,
                _ => odd,
            };
            if *path != home {
                if let Some(parent) = home.parent() {
                    fs::create_dir_all(parent)?;
                }
                fs::rename(&path, &home)?;
                *path = home;
            }
        }
        for version in gone {
            let Blob::File(path) = version.blob else { continue };
            let in_use = versions.iter().any(|kept| matches!(&kept.blob, Blob::File(kept) if *kept == path));
            if !in_use {
                // It may have been removed by hand.
                let _ = fs::remove_file(&path);
                self.remove_empty_parents(bucket, &path);
            }
        }
        self.write_record(bucket, key, versions)
    }

    fn write_record(&self, bucket: &str, key: &str, versions: &[Version]) -> io::Result<()> {
        let path = self.side(bucket).join("meta").join(format!("{}.json", escaped(key)));
        if versions.is_empty() {
            return match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        }
        let mut record = Record { key: key.to_owned(), versions: Vec::new() };
        for version in versions {
            let file = match &version.blob {
                Blob::File(path) => Some(path),
                Blob::Memory(_) => None,
            };
            record.versions.push(RecordedVersion {
                meta: version.meta.clone(),
                file_modified_ms: file.map_or(Ok(0), |path| modified_ms(path))?,
                file: file.map(|path| path.strip_prefix(&self.root).unwrap_or(path).to_owned()),
            });
        }
        self.write(&path, &serde_json::to_vec_pretty(&record)?)
    }

    /// Reads everything back. Files that were added, changed or removed by hand count as they are now.
    pub(crate) fn load(&self) -> io::Result<BTreeMap<String, Bucket>> {
        let mut buckets = BTreeMap::new();
        for entry in fs::read_dir(&self.root)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if entry.file_type()?.is_dir() && s3s::path::check_bucket_name(&name) {
                let bucket = self.load_bucket(&name)?;
                buckets.insert(name, bucket);
            }
        }
        Ok(buckets)
    }

    fn load_bucket(&self, name: &str) -> io::Result<Bucket> {
        let settings = match fs::read(self.side(name).join("bucket.json")) {
            Ok(json) => serde_json::from_slice(&json)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BucketSettings::default(),
            Err(error) => return Err(error),
        };
        let mut bucket = Bucket { settings, objects: BTreeMap::new() };
        let mut found = HashSet::new();
        let home = self.root.join(name);
        walk(&home, &mut |path| {
            found.insert(path.to_owned());
        })?;
        let records = self.side(name).join("meta");
        if records.exists() {
            for entry in fs::read_dir(records)? {
                let record: Record = serde_json::from_slice(&fs::read(entry?.path())?)?;
                let versions: Vec<Version> =
                    record.versions.into_iter().filter_map(|recorded| self.recall(recorded)).collect();
                for version in &versions {
                    if let Blob::File(path) = &version.blob {
                        found.remove(path);
                    }
                }
                if !versions.is_empty() {
                    bucket.objects.insert(record.key, versions);
                }
            }
        }
        for path in found {
            let key = path.strip_prefix(&home).ok().and_then(Path::to_str);
            if let Some(key) = key {
                let version = adopt(&path)?;
                bucket.objects.entry(key.to_owned()).or_default().push(version);
            }
        }
        Ok(bucket)
    }

    /// A recorded version, if its file is unchanged.
    fn recall(&self, recorded: RecordedVersion) -> Option<Version> {
        let Some(file) = recorded.file else {
            let blob = Blob::Memory(bytes::Bytes::new());
            return Some(Version { meta: recorded.meta, blob });
        };
        let path = self.root.join(file);
        let size = fs::metadata(&path).ok()?.len();
        let same = size == recorded.meta.size && modified_ms(&path).ok()? == recorded.file_modified_ms;
        same.then_some(Version { meta: recorded.meta, blob: Blob::File(path) })
    }

    fn side(&self, bucket: &str) -> PathBuf {
        self.root.join(".s3").join(bucket)
    }

    /// Where an ordinary key has its file.
    fn ordinary_path(&self, bucket: &str, key: &str) -> Option<PathBuf> {
        let ordinary = key.split('/').all(|name| {
            !name.is_empty() && name != "." && name != ".." && name.len() <= NAME_BYTES_MAX && !name.contains('\0')
        });
        ordinary.then(|| self.root.join(bucket).join(key))
    }

    /// Where the others have theirs.
    fn odd_path(&self, bucket: &str, key: &str) -> PathBuf {
        self.side(bucket).join("odd").join(escaped(key))
    }

    /// A folder that holds nothing would keep its name from being a key's file.
    fn remove_empty_parents(&self, bucket: &str, path: &Path) {
        let home = self.root.join(bucket);
        let mut parent = path.parent();
        while let Some(folder) = parent.filter(|folder| folder.starts_with(&home) && *folder != home) {
            if fs::remove_dir(folder).is_err() {
                return;
            }
            parent = folder.parent();
        }
    }

    /// Whole or not at all, also when the server is killed.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let draft = self.root.join(DRAFTS).join(dice::token(16));
        fs::write(&draft, bytes)?;
        fs::rename(draft, path)
    }
}

/// Whether a file can be at `path`: no file where it needs a folder, no folder in its place.
fn make_room(path: &Path) -> bool {
    let parents = path.parent().map(fs::create_dir_all);
    matches!(parents, Some(Ok(()))) && !path.is_dir()
}

/// A name for any key: escaped, and cut with a digest when that is too long.
fn escaped(key: &str) -> String {
    let name = utf8_percent_encode(key, ESCAPED).to_string();
    if name.len() <= ESCAPED_BYTES_MAX {
        // `=` is always escaped in keys: no key's name begins with it. The prefix keeps `.` and `..` from being
        // folders.
        return format!("={name}");
    }
    let digest = hex::encode(checksums::md5(key.as_bytes()));
    format!("={}={digest}", &name[..ESCAPED_BYTES_MAX])
}

fn adopt(path: &Path) -> io::Result<Version> {
    let (md5, size) = checksums::md5_of_file(path)?;
    Ok(Version {
        meta: Meta {
            id: String::from(NULL_VERSION),
            etag: hex::encode(md5),
            size,
            modified_ms: modified_ms(path)?,
            delete_marker: false,
            attributes: Attributes::default(),
            checksums: Checksums::new(),
        },
        blob: Blob::File(path.to_owned()),
    })
}

fn modified_ms(path: &Path) -> io::Result<i64> {
    let modified = fs::metadata(path)?.modified()?;
    let since = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).map_err(io::Error::other)
}

fn walk(folder: &Path, each: &mut impl FnMut(&Path)) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            walk(&path, each)?;
        } else {
            each(&path);
        }
    }
    Ok(())
}
