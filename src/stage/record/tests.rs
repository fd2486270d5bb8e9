use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{Event, Reason, Record, seconds};

/// A log in memory.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn full() -> Record {
    Record {
        event: Event::NotPublished,
        reason: Some(Reason::ClaimFull),
        detail: Some("No space left on device (os error 28)".to_owned()),
        pod: Some("inference/vllm-0".to_owned()),
        key: Some("a-b-c".to_owned()),
        node: Some("0123456789ab".to_owned()),
        engine: Some("vllm".to_owned()),
        image: Some("registry.example/vllm:1".to_owned()),
        generation: Some("d".repeat(64)),
        bytes: Some(u64::MAX),
        archive_bytes: Some(7),
        files: Some(12_000),
        added: Some(0),
        seconds: Some(1.25),
        deaths: Some(2),
    }
}

/// What a record looks like in the log, as `log::start` sets it up.
fn logged(record: &Record) -> String {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone());
    let subscriber = subscriber.json().flatten_event(true).with_current_span(false).finish();
    tracing::subscriber::with_default(subscriber, || record.log());
    let bytes = lines.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_record_is_read_back_from_the_log_and_from_a_file() {
    for record in [full(), Event::Started.record(), Event::Restored.record().because(Reason::SecondStart)] {
        assert_eq!(Record::parse(&logged(&record)), Some(record.clone()));
        assert_eq!(Record::parse(&serde_json::to_string(&record).unwrap()), Some(record));
    }
}

#[test]
fn a_line_has_the_words_that_a_person_looks_for() {
    let line = logged(&full());
    for part in [r#""event":"not-published""#, r#""reason":"claim-full""#, r#""files":12000"#, r#""level":"WARN""#] {
        assert!(line.contains(part), "no {part} in {line}");
    }
    assert!(!logged(&Event::Ready.record()).contains("reason"));
    // A first start is cold, and many claims are read-only: a person need not look at that.
    for (event, reason) in [(Event::NotRestored, Reason::NoneUsable), (Event::NotPublished, Reason::ClaimNotWritable)] {
        assert!(logged(&event.record().because(reason)).contains(r#""level":"INFO""#), "{reason}");
    }
}

#[test]
fn lines_of_others_are_not_records() {
    for line in ["", "text", "{}", r#"{"event":"of another"}"#, r#"{"timestamp":"x","message":"y"}"#] {
        assert_eq!(Record::parse(line), None, "{line}");
    }
}

#[test]
fn seconds_have_two_decimals() {
    assert!((seconds(Duration::from_micros(1_239_999)) - 1.23).abs() < 1e-9);
}
