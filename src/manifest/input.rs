//! Input files, standard input, and the JSON objects that are embedded in the program.

mod folder;
mod helm;

use std::borrow::Cow;
use std::fmt::Display;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::Context;
use serde_json::Value;

use crate::cli::Files;
use crate::config;
use crate::config::Config;
use crate::yaml;
use crate::yaml::{Document, Source};

/// Largest file, in bytes. Parsing takes several times the size, and an endless file (`/dev/zero`) must not exhaust memory.
const LARGEST: u64 = 256 * 1024 * 1024;

/// The text of a file, and the name that messages use for it.
pub(crate) struct Input {
    /// The file's name as typed.
    pub(crate) name: String,
    /// Its content.
    pub(crate) text: String,
}

impl Input {
    /// Reads the files that options name, and those of the folders among them.
    ///
    /// # Errors
    /// A file or folder cannot be read, or standard input is named twice.
    pub(crate) fn read_all(files: &Files) -> anyhow::Result<Vec<Input>> {
        let standard_inputs = files.filename.iter().filter(|file| *file == Path::new("-")).count();
        anyhow::ensure!(standard_inputs < 2, "-f - is there twice, and standard input can be read once");
        let mut inputs = Vec::new();
        for file in &files.filename {
            if file.is_dir() {
                for file in folder::files(file, files.recursive)? {
                    inputs.push(Input::read(&file)?);
                }
            } else {
                inputs.push(Input::read(file)?);
            }
        }
        Ok(inputs)
    }

    /// Reads a file; `-` is standard input.
    ///
    /// # Errors
    /// The file cannot be read, is larger than 256 MiB, or is no text.
    pub(crate) fn read(file: &Path) -> anyhow::Result<Input> {
        let is_standard_input = file == Path::new("-");
        let name = if is_standard_input { "<stdin>".to_owned() } else { file.display().to_string() };
        let read = if is_standard_input { whole(io::stdin().lock()) } else { File::open(file).and_then(whole) };
        let bytes = read.with_context(|| format!("failed to read {name}"))?;
        match yaml::text(&bytes) {
            Ok(Cow::Owned(text)) => Ok(Input { name, text }),
            // Nothing had to be decoded, so that large files are not copied.
            Ok(Cow::Borrowed(text)) if text.len() == bytes.len() => Ok(Input { name, text: String::from_utf8(bytes)? }),
            Ok(Cow::Borrowed(text)) => Ok(Input { name, text: text.to_owned() }),
            Err(error) => anyhow::bail!("{name}:{error}"),
        }
    }

    /// Parses the YAML or JSON documents.
    ///
    /// # Errors
    /// Where the first syntax error is, or the first action of a Helm template.
    pub(crate) fn documents(&self) -> anyhow::Result<Vec<Document>> {
        self.sources().map(|source| source.map(Source::into_document)).collect()
    }

    /// Parses the documents one by one; ends after the first error, which is that of [`Input::documents`].
    pub(crate) fn sources(&self) -> impl Iterator<Item = anyhow::Result<Source>> {
        yaml::sources(&self.text).map(|source| source.map_err(|error| self.error([helm::explain(&self.text, &error)])))
    }

    /// Parses a settings file.
    ///
    /// # Errors
    /// Every mistake in it.
    pub(crate) fn config(&self) -> anyhow::Result<Config> {
        Config::read(&self.text).map_err(|config::Error { mistakes }| self.error(mistakes))
    }

    /// An error with one line per mistake; each mistake begins with its line and column.
    pub(crate) fn error(&self, mistakes: impl IntoIterator<Item = impl Display>) -> anyhow::Error {
        let lines = mistakes.into_iter().map(|mistake| self.at(mistake));
        anyhow::Error::msg(lines.collect::<Vec<_>>().join("\n"))
    }

    /// Puts the file's name before a message that begins with its line and column.
    pub(crate) fn at(&self, message: impl Display) -> String {
        format!("{}:{message}", self.name)
    }
}

/// Parses a JSON object that is part of the program. Building it in code would take many times the lines.
pub(crate) fn embedded_json(text: &str) -> Value {
    serde_json::from_str(text).expect("it is part of this program, and a test has parsed it")
}

/// Reads everything, up to [`LARGEST`] bytes.
fn whole(from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if from.take(LARGEST + 1).read_to_end(&mut bytes)? as u64 > LARGEST {
        let why = format!("it is larger than {} MiB; split it", LARGEST / 1024 / 1024);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
    }
    Ok(bytes)
}
