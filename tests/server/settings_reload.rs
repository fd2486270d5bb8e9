//! A settings file that is replaced by other things while it is reloaded.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::caller::worker;
use crate::harness::webhook::Webhook;

const GOOD: &str = "apiVersion: dynamo-cache.io/v1alpha1\nkind: CacheConfig\nmodelCache:\n  claim: models\n";

/// A folder as the kubelet mounts a ConfigMap: its file is a link through `..data`, which is swapped.
fn mounted() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("settings-reloaded");
    // It may be there from an earlier run.
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir(&folder).unwrap();
    symlink("..data/config.yaml", folder.join("config.yaml")).unwrap();
    folder
}

/// Makes a version aside, by `make` at the path of its file, and swaps the link.
fn swap(folder: &Path, version: &str, make: impl FnOnce(&Path)) {
    let aside = folder.join(version);
    fs::create_dir(&aside).unwrap();
    make(&aside.join("config.yaml"));
    symlink(version, folder.join("..data_tmp")).unwrap();
    fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
}

#[test]
fn broken_settings_of_any_form_leave_the_last_good_ones_and_are_logged_once() {
    let folder = mounted();
    let text = |text: &'static str| move |path: &Path| fs::write(path, text).unwrap();
    swap(&folder, "..good", text(GOOD));
    let config = folder.join("config.yaml").display().to_string();
    let webhook = Webhook::standalone("settings-reloaded", &["--config", &config, "--reload-interval", "20ms"]);
    let claims = || {
        let patch = crate::harness::caller::patch(&webhook.caller().review(&worker("x")));
        assert!(patch.contains("models"), "the last good settings apply: {patch}");
    };
    claims();
    let memory = webhook.peak_memory_mib();

    let empty: fn(&Path) = |path| fs::write(path, "").unwrap();
    let folder_in_place: fn(&Path) = |path| fs::create_dir(path).unwrap();
    let nothing: fn(&Path) = |_| {};
    let half: fn(&Path) = |path| fs::write(path, &GOOD[..GOOD.len() - 12]).unwrap();
    let binary: fn(&Path) = |path| fs::write(path, b"\xff\xfe\0").unwrap();
    // As large as it says, and of no blocks on the disk.
    let huge: fn(&Path) = |path| File::create(path).unwrap().set_len(300 << 20).unwrap();
    let circle: fn(&Path) = |path| symlink("config.yaml", path).unwrap();
    let endless: fn(&Path) = |path| symlink("/dev/zero", path).unwrap();
    let pipe: fn(&Path) = |path| assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    // No two of the same reason follow each other: it would be logged once.
    let forms = [
        ("empty", empty, "apiVersion is missing"),
        ("folder", folder_in_place, "it is not a regular file"),
        ("nothing", nothing, "No such file or directory"),
        ("endless", endless, "it is not a regular file"),
        ("half", half, "modelCache is a mapping, not text"),
        ("pipe", pipe, "it is not a regular file"),
        ("binary", binary, "it is not UTF-8"),
        ("huge", huge, "it is larger than 1 MiB"),
        ("circle", circle, "ymbolic links"),
    ];
    for (round, (name, make, why)) in forms.into_iter().enumerate() {
        swap(&folder, &format!("..{name}"), make);
        let line = webhook.line("the changed settings file is invalid; the last valid settings apply").to_string();
        assert!(line.contains(why), "{name}: {line}");
        let page = webhook.page("/readyz?verbose");
        assert!(page.status == 200 && page.body.contains("[-]settings: last valid from "), "{name}: {page:?}");
        assert!(page.body.contains(why), "{name}: {page:?}");
        claims();
        let counted = format!("dynamo_cache_settings_reloads_total{{result=\"rejected\"}} {}\n", round + 1);
        let metrics = webhook.page("/metrics").body;
        assert!(metrics.contains(&counted), "{name}: {metrics}");
    }
    let grown = webhook.peak_memory_mib() - memory;
    assert!(grown < 32, "{grown} MiB more");

    swap(&folder, "..again", text(GOOD));
    webhook.line("reloaded the settings file");
    assert!(webhook.page("/readyz?verbose").body.contains("[+]settings: "));
    claims();
    let rest = webhook.rest_of_the_log();
    assert!(!rest.iter().any(|line| line.to_string().contains("is refused")), "each was logged once: {rest:?}");
}
