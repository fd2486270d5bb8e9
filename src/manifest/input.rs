//! A file, or standard input, as text.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::Context;

use crate::config;
use crate::config::Config;
use crate::yaml;
use crate::yaml::Document;

/// Largest file. What is read takes several times its size, and what has no end (`/dev/zero`) is not to take all memory.
const LARGEST: u64 = 256 * 1024 * 1024;

/// What was read, and the name to call it by.
pub(crate) struct Input {
    /// The file's name as typed.
    pub(crate) name: String,
    /// What is in it.
    pub(crate) text: String,
}

impl Input {
    /// Reads a file; `-` is standard input.
    pub(crate) fn read(file: &Path) -> anyhow::Result<Input> {
        let is_standard_input = file == Path::new("-");
        let name = if is_standard_input { "<stdin>".to_owned() } else { file.display().to_string() };
        let read = if is_standard_input { whole(io::stdin().lock()) } else { File::open(file).and_then(whole) };
        let bytes = read.with_context(|| format!("failed to read {name}"))?;
        match yaml::text(&bytes) {
            Ok(_) => Ok(Input { name, text: String::from_utf8(bytes)? }),
            Err(error) => anyhow::bail!("{name}:{error}"),
        }
    }

    /// The documents in it.
    pub(crate) fn documents(&self) -> anyhow::Result<Vec<Document>> {
        yaml::documents(&self.text).map_err(|error| self.wrong([error]))
    }

    /// The settings in it.
    pub(crate) fn config(&self) -> anyhow::Result<Config> {
        Config::read(&self.text).map_err(|config::Error { mistakes }| self.wrong(mistakes))
    }

    /// What is wrong in it as an error; each item begins with its line and column.
    pub(crate) fn wrong(&self, mistakes: impl IntoIterator<Item = impl Display>) -> anyhow::Error {
        let lines = mistakes.into_iter().map(|mistake| self.at(mistake));
        anyhow::Error::msg(lines.collect::<Vec<_>>().join("\n"))
    }

    /// The file's name before something that begins with its line and column.
    pub(crate) fn at(&self, place: impl Display) -> String {
        format!("{}:{place}", self.name)
    }
}

/// All there is, within the bound.
fn whole(from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if from.take(LARGEST + 1).read_to_end(&mut bytes)? as u64 > LARGEST {
        let why = format!("it is larger than {} MiB; split it", LARGEST / 1024 / 1024);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
    }
    Ok(bytes)
}
