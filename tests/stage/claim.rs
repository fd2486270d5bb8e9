//! A claim in a folder, with generations of the tests' own making.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use dynamo_cache::stage::digest::Digest;
use dynamo_cache::stage::node::Node;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

pub(crate) const KEY: &str = "image-gpu-args";

/// A claim, removed with its test.
pub(crate) struct Claim {
    /// The folder of the test, which has the local caches as well.
    pub(crate) folder: PathBuf,
    /// Where the claim is mounted.
    pub(crate) path: PathBuf,
}

impl Claim {
    /// An empty claim; `name` is the test's own.
    pub(crate) fn new(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("stage-{name}"));
        drop(fs::remove_dir_all(&folder));
        let path = folder.join("claim");
        fs::create_dir_all(&path).unwrap();
        Claim { folder, path }
    }

    /// The folder of the key and this node.
    pub(crate) fn store(&self) -> PathBuf {
        self.path.join("staged-v1").join(KEY).join(Node::read(Path::new("/proc")).digits())
    }

    /// Adds a generation with a manifest that is right, but for what is replaced in it, and points to it.
    pub(crate) fn add(&self, archive: &[u8], files: u64, bytes: u64, replaced: &Value) -> String {
        let digest = digest(archive);
        let mut manifest = json!({
            "format": 1, "digest": digest, "archiveBytes": archive.len(), "files": files, "bytes": bytes,
            "key": KEY, "engine": "vllm", "image": "image", "node": [], "version": "0.1.0",
            "created": "2026-11-29T00:00:00Z", "pod": "a/b", "secondsToReady": null,
        });
        for (key, value) in replaced.as_object().into_iter().flatten() {
            manifest[key] = value.clone();
        }
        let generations = self.store().join("generations");
        fs::create_dir_all(&generations).unwrap();
        fs::write(generations.join(format!("{digest}.tar.zst")), archive).unwrap();
        fs::write(generations.join(format!("{digest}.json")), manifest.to_string()).unwrap();
        self.point(&digest);
        digest
    }

    /// Points to a generation.
    pub(crate) fn point(&self, digest: &str) {
        self.point_to(&[digest]);
    }

    /// Points to generations, the newest first.
    pub(crate) fn point_to(&self, digests: &[&str]) {
        let pointer = json!({"generations": digests});
        fs::create_dir_all(self.store().join("generations")).unwrap();
        fs::write(self.store().join("current.json"), pointer.to_string()).unwrap();
    }

    /// The pointer's generations, newest first.
    pub(crate) fn generations(&self) -> Vec<String> {
        let pointer = fs::read_to_string(self.store().join("current.json")).unwrap_or_else(|_| "{}".to_owned());
        let pointer: Value = serde_json::from_str(&pointer).unwrap();
        let list = pointer["generations"].as_array().cloned().unwrap_or_default();
        list.iter().map(|digest| digest.as_str().unwrap().to_owned()).collect()
    }

    /// What is published: the pointer, and everything that it leads to.
    pub(crate) fn published(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut paths = vec![self.store().join("current.json")];
        let generations = self.store().join("generations");
        for digest in self.generations() {
            paths.extend(["json", "tar.zst"].map(|ending| generations.join(format!("{digest}.{ending}"))));
        }
        paths.into_iter().filter_map(|path| fs::read(&path).ok().map(|content| (path, content))).collect()
    }

    /// Fails unless every generation that the pointer leads to is whole.
    #[track_caller]
    pub(crate) fn assert_whole(&self) {
        for digest in self.generations() {
            let generations = self.store().join("generations");
            let archive = fs::read(generations.join(format!("{digest}.tar.zst"))).unwrap();
            assert_eq!(self::digest(&archive), digest);
            let manifest = fs::read(generations.join(format!("{digest}.json"))).unwrap();
            let manifest: Value = serde_json::from_slice(&manifest).unwrap();
            assert_eq!(manifest["archiveBytes"], archive.len());
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            drop(fs::remove_dir_all(&self.folder));
        }
    }
}

fn digest(archive: &[u8]) -> String {
    Digest::new(&Sha256::digest(archive).into()).to_string()
}

/// A tar of entries, none of which the product would write.
#[derive(Default)]
pub(crate) struct Tar(Vec<u8>);

impl Tar {
    /// Adds an entry of a type, whose path may be anything.
    pub(crate) fn entry(mut self, kind: EntryType, path: &[u8], mode: u32, content: &[u8]) -> Self {
        self.0.extend(header(kind, path, mode, content.len() as u64));
        self.0.extend(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(crate) fn file(self, path: &str, content: &[u8]) -> Self {
        self.entry(EntryType::Regular, path.as_bytes(), 0o644, content)
    }

    /// The archive.
    pub(crate) fn compressed(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        compress(&self.0)
    }
}

/// The header of an entry.
pub(crate) fn header(kind: EntryType, path: &[u8], mode: u32, size: u64) -> Vec<u8> {
    let mut header = Header::new_ustar();
    header.as_old_mut().name[..path.len()].copy_from_slice(path);
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(1);
    header.set_link_name("/etc/passwd").unwrap();
    header.set_cksum();
    header.as_bytes().to_vec()
}

/// One frame of zstd.
pub(crate) fn compress(bytes: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(bytes, 1).unwrap()
}

/// An archive as any tar program makes it, with this many small files.
pub(crate) fn many_files(count: u32) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    for number in 0..count {
        let mut header = Header::new_ustar();
        header.set_size(1);
        tar.append_data(&mut header, format!("{}/{number}", number % 100), [7].as_slice()).unwrap();
    }
    compress(&tar.into_inner().unwrap())
}
