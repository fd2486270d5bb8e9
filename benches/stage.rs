//! What restoring and publishing a staged compile cache cost, next to `tar` and `zstd`. `cargo bench --bench stage`.
//!
//! Both do the same: pack and write to the disk, or unpack from the page cache. The stage hashes besides, counts the files
//! before and after it packs them, and takes the times from its own records.
#![allow(clippy::print_stdout, reason = "a bench prints")]
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a bench that cannot go on ends")]

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use dynamo_cache::stage::record::{Event, Record};

#[path = "machine.rs"]
mod machine;

const FILES: usize = 12_000;
const BYTES_OF_A_FILE: usize = 83_334;
const ROUNDS: usize = 5;

/// Longer than any part takes.
const DEADLINE: Duration = Duration::from_secs(300);

fn main() {
    let unknown = std::env::args().skip(1).find(|argument| argument != "--bench");
    assert_eq!(unknown, None, "stage takes no arguments");
    println!("{}\n", machine::line());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-stage");
    drop(fs::remove_dir_all(&folder));
    let from = folder.join("from");
    fs::create_dir_all(&from).unwrap();
    write_cache(&from);
    let rounds: Vec<_> = (0..ROUNDS).map(|_| round(&folder, &from)).collect();
    println!(
        "| {FILES} files, 1 GB | the stage | tar and zstd | speed | CPU of the stage | of tar and zstd | peak RSS |"
    );
    println!("|---|---|---|---|---|---|---|");
    for (name, part) in [
        ("publish, `tar -c \\| zstd -3`", (|round| &round.publish) as fn(&Round) -> &Part),
        ("restore, `zstd -dc \\| tar -x`", |round| &round.restore),
    ] {
        let median = |value: fn(&Part) -> f64| {
            let mut values: Vec<_> = rounds.iter().map(|round| value(part(round))).collect();
            values.sort_by(f64::total_cmp);
            values[ROUNDS / 2]
        };
        println!(
            "| {name} | {:.2} s | {:.2} s | {:.2} | {:.2} s | {:.2} s | {:.0} MiB |",
            median(|part| part.stage.seconds),
            median(|part| part.pipe.seconds),
            median(|part| part.pipe.seconds / part.stage.seconds),
            median(|part| part.stage.processor),
            median(|part| part.pipe.processor),
            median(|part| part.stage.memory),
        );
    }
    fs::remove_dir_all(folder).unwrap();
}

struct Round {
    publish: Part,
    restore: Part,
}

/// The same work, done by both.
struct Part {
    stage: Cost,
    pipe: Cost,
}

/// What a run costs: seconds, seconds of processor time, and the peak RSS in MiB where it is known.
struct Cost {
    seconds: f64,
    processor: f64,
    memory: f64,
}

fn round(folder: &Path, from: &Path) -> Round {
    let (claim, to, tar_to) = (folder.join("claim"), folder.join("to"), folder.join("tar-to"));
    for path in [&claim, &to, &tar_to] {
        drop(fs::remove_dir_all(path));
        fs::create_dir(path).unwrap();
    }
    for state in [".dynamo-cache-state.json", ".dynamo-cache-lock"] {
        drop(fs::remove_file(from.join(state)));
    }
    let archive = folder.join("archive.tar.zst");
    // As niced as the stage is while it packs.
    let pack = pipe(&format!(
        "nice -n 10 tar -C {} -c . | nice -n 10 zstd -q -3 -T1 -f -o {archive}; sync {archive}",
        from.display(),
        archive = archive.display(),
    ));
    let publish = Part { stage: stage(&claim, from, Event::Published), pipe: pack };
    let unpack = pipe(&format!("zstd -q -dc {} | tar -C {} -x", archive.display(), tar_to.display()));
    let restore = Part { stage: stage(&claim, &to, Event::Restored), pipe: unpack };
    Round { publish, restore }
}

/// What a command of other programs costs.
fn pipe(command: &str) -> Cost {
    let script = format!("TIMEFORMAT='%R %U %S'; time {{ {command}; }}");
    let said = Command::new("bash").args(["-o", "pipefail", "-ec", &script]).output().expect("bash is missing");
    assert!(said.status.success(), "{said:?}");
    let times = String::from_utf8(said.stderr).unwrap();
    let times: Vec<f64> = times.split_whitespace().map(|time| time.parse().unwrap()).collect();
    Cost { seconds: times[0], processor: times[1] + times[2], memory: f64::NAN }
}

/// What a stage costs until an event; the seconds are those of its record.
fn stage(claim: &Path, local: &Path, event: Event) -> Cost {
    let log = local.with_extension("log");
    let mut child = Command::new(env!("CARGO_BIN_EXE_dynamo-cache"))
        .arg("stage")
        .arg(format!("--local={}", local.display()))
        .arg(format!("--claim={}", claim.display()))
        .args(["--key=bench", "--engine=vllm", "--image=bench", "--pod-uid=bench", "--jitter=0s"])
        .args(["--long-quiet-for=500ms", "--second-look=600s"])
        .stdout(Stdio::null())
        .stderr(fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let mut gate = Command::new(env!("CARGO_BIN_EXE_dynamo-cache"));
    gate.arg("gate").arg(format!("--local={}", local.display())).stderr(Stdio::null());
    assert!(gate.status().unwrap().success());
    let record = wait_for(&mut child, &log, event);
    let read = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", child.id())).unwrap();
    let (status, times) = (read("status"), read("stat"));
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kilobytes: f64 = peak.split_whitespace().next().unwrap().parse().unwrap();
    // Behind the name, whose parentheses end the second field: user and system time are fields 14 and 15, in hundredths.
    let fields: Vec<_> = times.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    Cost { seconds: record.seconds.unwrap(), processor: ticks / 100.0, memory: kilobytes / 1024.0 }
}

fn wait_for(child: &mut Child, log: &Path, event: Event) -> Record {
    let begin = Instant::now();
    while begin.elapsed() < DEADLINE {
        let text = fs::read_to_string(log).unwrap();
        let mut records = text.lines().filter_map(Record::parse);
        if let Some(record) = records.find(|record| record.event == event) {
            return record;
        }
        assert!(child.try_wait().unwrap().is_none(), "the stage has ended: {text}");
        #[expect(clippy::disallowed_methods, reason = "between two looks at the log")]
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("no {event:?} in {}", log.display());
}

/// Files that compress to a third, as objects and their sources do.
fn write_cache(folder: &Path) {
    let mut state = 1_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for file in 0..FILES {
        let mut content = Vec::with_capacity(BYTES_OF_A_FILE + 64);
        while content.len() < BYTES_OF_A_FILE {
            let word = random();
            content.extend(word.to_le_bytes());
            let length = usize::try_from(8 + word % 32).unwrap();
            content.extend(std::iter::repeat_n(word.to_le_bytes()[0] & 7, length));
        }
        content.truncate(BYTES_OF_A_FILE);
        let folder = folder.join(format!("{}/{}", file % 13, file % 101));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{file}.cubin")), content).unwrap();
    }
}
