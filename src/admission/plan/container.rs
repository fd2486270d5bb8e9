//! One container while it is planned: what it has, and what it gets.

use std::borrow::Cow;

use super::super::classification::SelectedContainer;
use super::super::path::{self, Path};
use super::super::pod::{Container, Variable};
use super::volumes::Volumes;
use super::{Added, Cache, Change};

/// What an engine's container gets, as a rule: two mounts and a variable for each cache and each place on local disk.
const USUALLY_ADDED: usize = 8;

/// A container with what was added to it so far.
#[derive(Debug)]
pub(super) struct ContainerPlan<'p, 'c> {
    pub selected: &'c SelectedContainer<'p>,
    pub mounts: Vec<Mounted<'p>>,
    added: Vec<(Added<'p>, Cache)>,
    /// The variables that were omitted, because no writable directory of the container's own could be had for them.
    pub(super) without_scratch: Vec<&'static str>,
}

/// A mount, the container's own or one that was added.
#[derive(Clone, Debug)]
pub(super) struct Mounted<'p> {
    pub volume: Cow<'p, str>,
    pub path: Path<'p>,
    /// Which part of the volume; none: the whole.
    pub sub_path: Option<Cow<'p, str>>,
    pub read_only: bool,
    /// Whether it was added.
    pub is_added: bool,
}

/// What a variable of the container says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value<'d> {
    /// This text, to the letter.
    Literal(&'d str),
    /// It comes from elsewhere, or refers to other variables.
    Elsewhere,
}

/// Where a variable that names a directory points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Directory {
    /// The container has no such variable.
    Unset,
    /// Here.
    At(Path<'static>),
    /// The pod does not show where.
    NotLiteral,
}

impl<'p, 'c> ContainerPlan<'p, 'c> {
    pub(super) fn new(selected: &'c SelectedContainer<'p>, volumes: &Volumes<'p>) -> Self {
        let mounts = selected.container.volume_mounts.iter().flatten();
        let mounts = mounts.map(|mount| {
            let volume = mount.name.as_deref().unwrap_or_default();
            let part = mount.sub_path.as_deref().filter(|part| !part.is_empty());
            let expression = mount.sub_path_expr.as_deref().filter(|part| !part.is_empty());
            Mounted {
                volume: Cow::Borrowed(volume),
                path: Path::new(mount.mount_path.as_deref().unwrap_or_default()),
                sub_path: part.or(expression).map(Cow::Borrowed),
                read_only: mount.read_only.unwrap_or(false) || volumes.is_read_only(volume),
                is_added: false,
            }
        });
        let added = Vec::with_capacity(USUALLY_ADDED);
        ContainerPlan { mounts: mounts.collect(), selected, added, without_scratch: Vec::new() }
    }

    pub(super) fn container(&self) -> &'p Container<'p> {
        self.selected.container
    }

    /// The user id that the container's image has, as far as its name shows: that of Dynamo's own images, else root's.
    pub(super) fn user_of_image(&self) -> i64 {
        if self.container().image_name().contains("-runtime") { 1000 } else { 0 }
    }

    /// What a variable says; none where the container lacks it. A name that is there twice counts by its last.
    pub(super) fn variable(&self, name: &str) -> Option<Value<'_>> {
        let added = self.added.iter().find_map(|(added, _)| match added {
            Added::Variable { name: of, value } if *of == name => Some(Value::Literal(value)),
            _ => None,
        });
        added.or_else(|| {
            let variables = self.selected.container.env.as_deref().unwrap_or_default();
            variables.iter().rfind(|variable| variable.name.as_deref() == Some(name)).map(read)
        })
    }

    /// Whether the container has a variable.
    pub(super) fn has(&self, name: &str) -> bool {
        self.variable(name).is_some()
    }

    /// Whether a variable is a literal that means yes, as the Hugging Face clients read it.
    pub(super) fn is_on(&self, name: &str) -> bool {
        let words = ["1", "on", "true", "yes"];
        matches!(self.variable(name), Some(Value::Literal(text)) if words.iter().any(|word| text.eq_ignore_ascii_case(word)))
    }

    /// Whether a script of the container assigns a variable.
    pub(super) fn assigns(&self, name: &str) -> bool {
        self.selected.command_line.assigned.has(name)
    }

    /// Where a variable points, read as a directory.
    pub(super) fn directory(&self, name: &str) -> Directory {
        match self.variable(name) {
            None => Directory::Unset,
            Some(Value::Literal(text)) if path::is_absolute(text) => Directory::At(Path::new(text).into_owned()),
            Some(_) => Directory::NotLiteral,
        }
    }

    /// Where a variable points, where its value is literal.
    pub(super) fn literal_directory(&self, name: &str) -> Option<Path<'static>> {
        match self.directory(name) {
            Directory::At(path) => Some(path),
            Directory::NotLiteral | Directory::Unset => None,
        }
    }

    /// The deepest mount at or above a path.
    pub(super) fn cover(&self, path: &Path<'_>) -> Option<&Mounted<'p>> {
        let covering = self.mounts.iter().filter(|mount| mount.path.covers(path));
        covering.max_by_key(|mount| mount.path.as_str().len())
    }

    /// The first whole mount of a claim.
    pub(super) fn whole_mount(&self, volumes: &Volumes<'_>, claim: &str) -> Option<&Mounted<'p>> {
        self.mounts.iter().find(|mount| mount.is_whole(volumes, claim))
    }

    /// Adds a variable, unless the container has one of that name.
    pub(super) fn set(&mut self, cache: Cache, name: &'static str, value: impl Into<Cow<'p, str>>) {
        if !self.has(name) {
            self.set_new(cache, name, value);
        }
    }

    /// Adds a variable that the container lacks.
    pub(super) fn set_new(&mut self, cache: Cache, name: &'static str, value: impl Into<Cow<'p, str>>) {
        self.added.push((Added::Variable { name, value: value.into() }, cache));
    }

    /// Adds a mount.
    pub(super) fn mount(&mut self, cache: Cache, mounted: Mounted<'p>) {
        let Mounted { volume, path, read_only, sub_path, .. } = mounted.clone();
        self.mounts.push(Mounted { is_added: true, ..mounted });
        self.added.push((Added::Mount { volume, path, read_only, sub_path }, cache));
    }

    /// Appends arguments.
    pub(super) fn append_args(&mut self, cache: Cache, words: Vec<String>) {
        self.added.push((Added::Args(words), cache));
    }

    pub(super) fn into_changes(self) -> impl Iterator<Item = Change<'p>> {
        let index = self.selected.index;
        self.added.into_iter().map(move |(added, cache)| Change::Container { index, added, cache })
    }
}

impl Mounted<'_> {
    /// Whether this mounts the whole of a claim's volume.
    pub(super) fn is_whole(&self, volumes: &Volumes<'_>, claim: &str) -> bool {
        self.sub_path.is_none() && volumes.is_of_claim(&self.volume, claim)
    }
}

fn read<'d>(variable: &'d Variable<'_>) -> Value<'d> {
    let text = variable.value.as_deref().unwrap_or_default();
    if variable.value_from.is_some() || is_expanded(text) { Value::Elsewhere } else { Value::Literal(text) }
}

/// Whether Kubernetes replaces something in the value of a variable.
pub(super) fn is_expanded(text: &str) -> bool {
    text.as_bytes().windows(2).any(|two| matches!(two, b"$(" | b"$$"))
}
