use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;

use super::{Durability, Folder, Kind};

/// A folder of a test's own, empty.
fn folder(name: &str) -> (PathBuf, Folder) {
    let path = std::env::temp_dir().join(format!("dynamo-cache-folder-{}-{name}", std::process::id()));
    drop(fs::remove_dir_all(&path));
    fs::create_dir(&path).unwrap();
    let folder = Folder::open(&path).unwrap();
    (path, folder)
}

#[test]
fn no_name_leads_out_of_a_folder_and_no_link_is_followed() {
    let (path, folder) = folder("links");
    for name in ["", ".", "..", "a/b", "/etc"] {
        assert_eq!(folder.file(OsStr::new(name)).unwrap_err().kind(), ErrorKind::InvalidInput, "{name}");
        assert!(folder.make_folder(OsStr::new(name)).is_err() && folder.remove(OsStr::new(name)).is_err(), "{name}");
    }
    symlink("/etc", path.join("folder")).unwrap();
    symlink("/etc/passwd", path.join("file")).unwrap();
    symlink("/nowhere", path.join("nowhere")).unwrap();
    assert!(folder.folder(OsStr::new("folder")).is_err());
    assert!(folder.make_folder(OsStr::new("folder")).is_err());
    assert_eq!(folder.file(OsStr::new("file")).unwrap_err().kind(), ErrorKind::InvalidData);
    assert!(folder.create(OsStr::new("nowhere"), 0o644).is_err());
    assert_eq!(folder.examine(OsStr::new("file")).unwrap().0, Kind::Other);
    fs::remove_dir_all(path).unwrap();
}

#[test]
fn only_plain_files_are_read_and_only_up_to_a_limit() {
    let (path, folder) = folder("read");
    fs::write(path.join("file"), "content").unwrap();
    assert_eq!(folder.read(OsStr::new("file"), 7).unwrap(), b"content");
    assert_eq!(folder.read(OsStr::new("file"), 6).unwrap_err().kind(), ErrorKind::InvalidData);
    fs::create_dir(path.join("folder")).unwrap();
    assert!(folder.read(OsStr::new("folder"), 7).is_err());
    let pipe = path.join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    assert_eq!(folder.read(OsStr::new("pipe"), 7).unwrap_err().kind(), ErrorKind::InvalidData);
    fs::remove_dir_all(path).unwrap();
}

#[test]
fn a_file_is_replaced_as_a_whole_and_modes_do_not_depend_on_the_mask() {
    let (path, folder) = folder("replace");
    for durability in [Durability::Process, Durability::Crash] {
        folder.replace(OsStr::new("file"), OsStr::new(".new"), b"content", durability).unwrap();
    }
    folder.make_folder(OsStr::new("folder")).unwrap();
    let mode = |name: &str| fs::metadata(path.join(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("file"), mode("folder")), (0o644, 0o777));
    assert!(folder.replace(OsStr::new("folder"), OsStr::new(".new"), b"", Durability::Process).is_err());
    let mut names = folder.names(2).unwrap();
    names.sort();
    assert_eq!(names, ["file", "folder"], "a failure leaves no temporary file");
    assert!(folder.names(1).is_err());
    fs::remove_dir_all(path).unwrap();
}
