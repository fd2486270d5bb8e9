//! The annotation of a claim that says which users can write to it, and what a real write makes of it.

use std::collections::BTreeSet;

use crate::admission::claim::{MOST_USERS, Writable, uid};
use crate::inspect::job_status::plain;

/// What file systems answer to a user who may not write, in the locale `C`. Other errors say nothing about the claim.
const REFUSALS: [&str; 5] = [
    "Permission denied",
    "Operation not permitted",
    "Read-only file system",
    "No space left on device",
    "Disk quota exceeded",
];

/// A real write to a claim, and how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Write {
    /// The uid of the process.
    pub(crate) user: u32,
    /// Whether a file was written; if not, the file system refused it.
    pub(crate) has_succeeded: bool,
}

/// What a write makes of the annotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It gets this value.
    Set(String),
    /// It says so already.
    None,
    /// It stays, because it lists as many users as are remembered.
    Full,
    /// It stays, because a person wrote it: it does not parse, or it is a `true` that the write contradicts. The value is what
    /// that person may write in its place.
    ByHand(String),
}

impl Write {
    /// Reads what the script of a Job reports about its write: a line `uid N`, and then a line `wrote` or the error. `None` if
    /// the script did not come so far, or failed for a reason that is not the file system's answer.
    pub(crate) fn from_output(output: &str, user_of_pod: Option<u32>) -> Option<Write> {
        let output = plain(output);
        let reported = output.lines().find_map(|line| line.strip_prefix("uid"))?;
        let user = uid(reported.trim()).or(user_of_pod)?;
        let has_succeeded = output.lines().any(|line| line == "wrote");
        let is_refusal = REFUSALS.iter().any(|refusal| output.contains(refusal));
        (has_succeeded || is_refusal).then_some(Write { user, has_succeeded })
    }

    /// What the write makes of the annotation's value.
    pub(crate) fn change(self, current: Option<&str>) -> Change {
        let (mut users, has_no_list) = match (current, Writable::read(current)) {
            (None, _) => (BTreeSet::new(), true),
            (_, Writable::No) => (BTreeSet::new(), false),
            (_, Writable::Users(users)) => (users.into_iter().collect(), false),
            (_, Writable::Everybody) if self.has_succeeded => return Change::None,
            (_, Writable::Unproven) if self.has_succeeded => return Change::ByHand(self.user.to_string()),
            (_, Writable::Everybody | Writable::Unproven) => return Change::ByHand("false".to_owned()),
        };
        let changes = if self.has_succeeded { users.insert(self.user) } else { users.remove(&self.user) };
        if users.len() > MOST_USERS {
            return Change::Full;
        }
        if changes || has_no_list { Change::Set(text(&users)) } else { Change::None }
    }
}

/// The error that a Job reports in place of a line `wrote`, in one line.
pub(crate) fn reported_error(output: &str) -> Option<String> {
    let output = plain(output);
    let (user, errors) = output.trim_start().split_once('\n')?;
    let lines: Vec<_> = errors.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    (user.starts_with("uid") && !lines.is_empty() && !lines.contains(&"wrote")).then(|| lines.join("; "))
}

fn text(users: &BTreeSet<u32>) -> String {
    if users.is_empty() {
        return "false".to_owned();
    }
    users.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::{Change, Write, reported_error, text};

    #[test]
    fn a_user_who_wrote_is_added_to_the_list_and_one_who_could_not_is_removed() {
        let set = |text: &str| Change::Set(text.to_owned());
        let by_hand = |text: &str| Change::ByHand(text.to_owned());
        for (current, wrote, refused) in [
            (None, set("1000"), set("false")),
            (Some("false"), set("1000"), Change::None),
            (Some("true"), Change::None, by_hand("false")),
            (Some("1000"), Change::None, set("false")),
            (Some(" 2000 ,0 "), set("0,1000,2000"), Change::None),
            (Some("2000,1000,1000,0"), Change::None, set("0,2000")),
            (Some(""), by_hand("1000"), by_hand("false")),
            (Some("yes"), by_hand("1000"), by_hand("false")),
            (Some("1000,"), by_hand("1000"), by_hand("false")),
            (Some("+1000"), by_hand("1000"), by_hand("false")),
            (Some("4294967296"), by_hand("1000"), by_hand("false")),
            (Some("1000,true"), by_hand("1000"), by_hand("false")),
        ] {
            let write = |has_succeeded| Write { user: 1000, has_succeeded };
            assert_eq!(write(true).change(current), wrote, "{current:?}");
            assert_eq!(write(false).change(current), refused, "{current:?}");
        }
    }

    #[test]
    fn a_second_write_of_the_same_kind_changes_nothing() {
        for start in [None, Some("false"), Some("true"), Some("0,1000"), Some("7")] {
            for has_succeeded in [true, false] {
                let write = Write { user: 1000, has_succeeded };
                if let Change::Set(text) = write.change(start) {
                    assert_eq!(write.change(Some(&text)), Change::None, "{start:?} {has_succeeded}");
                }
            }
        }
    }

    #[test]
    fn no_user_is_added_beyond_those_that_are_remembered() {
        let wrote = Write { user: 1000, has_succeeded: true };
        let list = |count: u32| text(&(0..count).collect());
        assert_eq!(wrote.change(Some(&list(63))), Change::Set(format!("{},1000", list(63))));
        assert_eq!((wrote.change(Some(&list(64))), wrote.change(Some(&list(65)))), (Change::Full, Change::Full));
        let among = Write { user: 63, has_succeeded: true };
        assert_eq!(among.change(Some(&list(64))), Change::None);
        let refused = Write { user: 63, has_succeeded: false };
        assert_eq!(refused.change(Some(&list(64))), Change::Set(list(63)));
    }

    #[test]
    fn an_error_that_is_no_refusal_is_repeated() {
        let output = "uid 1000\ncat: write error: Input/output error\n";
        assert_eq!(Write::from_output(output, None), None);
        assert_eq!(reported_error(output).as_deref(), Some("cat: write error: Input/output error"));
        for output in ["", "uid 1000\n", "uid 1000\nwrote\n", "Error: 404\nnot found\n"] {
            assert_eq!(reported_error(output), None, "{output}");
        }
    }

    #[test]
    fn only_the_answer_of_a_file_system_counts_as_a_refusal() {
        let read = |output: &str| Write::from_output(output, Some(7)).map(|write| (write.user, write.has_succeeded));
        assert_eq!(read("uid 1000\nwrote\n"), Some((1000, true)));
        assert_eq!(read("uid 1000680000\nwrote\n"), Some((1_000_680_000, true)));
        assert_eq!(read("uid 1000\nmktemp: failed to create file: Permission denied\n"), Some((1000, false)));
        assert_eq!(read("uid 1000\ncat: write error: No space left on device\n"), Some((1000, false)));
        assert_eq!(read("uid 1000\nmktemp: Read-only file system\n"), Some((1000, false)));
        assert_eq!(read("uid \nwrote\n"), Some((7, true)), "an image without id");
        for output in ["", "wrote\n", "sh: 1: mktemp: Permission denied\n", "uid 1000\nmktemp: not found\n", "uid 5\n"]
        {
            assert_eq!(read(output), None, "{output}");
        }
        assert_eq!(Write::from_output("uid x\nwrote\n", None), None);
    }
}
