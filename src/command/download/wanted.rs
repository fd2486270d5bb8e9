//! The models to download, and who names them.

use std::fmt::Write as _;

use crate::manifest::models::{MAIN, ObjectModels, Purpose, TOKENIZER_FILES};

/// One revision of a model that is to be on the claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// The name on the hub.
    pub(super) model: String,
    /// A commit, a branch or a tag.
    pub(super) revision: String,
    /// The files to have; all, if there are no patterns.
    pub(super) include: Vec<String>,
    /// The files not to have.
    pub(super) exclude: Vec<String>,
    /// Whether workers that name no revision get another one: that of `main`, or of the commits that are wanted together the first.
    pub(super) leaves_main: bool,
    /// Who names it, one part each: `Deployment/worker (--model)`.
    pub(super) by: Vec<String>,
}

/// Collects what objects name: each revision of a model once. A model of which only the tokenizer is read is brought without its
/// weights, unless `include` says what to bring. Also returns a note for each name that cannot be read.
pub(super) fn collect(objects: &[ObjectModels], include: &[String], exclude: &[String]) -> (Vec<Wanted>, Vec<String>) {
    let (mut wanted, mut purposes, mut notes): (Vec<Wanted>, Vec<Purpose>, Vec<_>) = Default::default();
    for object in objects {
        for container in &object.containers {
            for model in &container.models {
                let revision = model.revision.as_deref().unwrap_or(MAIN);
                let by = format!("{} ({})", object.name, model.by);
                let known = wanted.iter().position(|known| known.model == model.name && known.revision == revision);
                if let Some(index) = known {
                    purposes[index] = purposes[index].max(model.purpose);
                    let known = &mut wanted[index];
                    if !known.by.contains(&by) {
                        known.by.push(by);
                    }
                } else {
                    purposes.push(model.purpose);
                    wanted.push(Wanted {
                        model: model.name.clone(),
                        revision: revision.to_owned(),
                        include: include.to_vec(),
                        exclude: exclude.to_vec(),
                        leaves_main: false,
                        by: vec![by],
                    });
                }
            }
            for unclear in &container.unclear {
                let at =
                    if container.container.is_empty() { String::new() } else { format!(", {}", container.container) };
                let (by, text) = (&unclear.by, &unclear.text);
                notes.push(format!("{}{at}: {by} names a model that is not known from here: {text}", object.name));
            }
        }
    }
    for (wanted, purpose) in wanted.iter_mut().zip(purposes) {
        if purpose == Purpose::Tokenizer && include.is_empty() {
            wanted.include = TOKENIZER_FILES.map(str::to_owned).to_vec();
        }
    }
    for index in 0..wanted.len() {
        let same = || wanted.iter().enumerate().filter(|(_, other)| other.model == wanted[index].model);
        let main =
            same().find(|(_, other)| other.revision == MAIN).or_else(|| same().find(|(_, other)| other.is_commit()));
        let leaves_main = wanted[index].is_commit() && main.is_some_and(|(main, _)| main != index);
        wanted[index].leaves_main = leaves_main;
    }
    (wanted, notes)
}

impl Wanted {
    /// The arguments of the download script.
    pub(super) fn patterns(&self) -> Vec<&str> {
        let patterns = [("--include", &self.include), ("--exclude", &self.exclude)];
        let each = patterns.into_iter().flat_map(|(option, globs)| globs.iter().flat_map(move |glob| [option, glob]));
        each.collect()
    }

    /// Whether the revision is a full commit hash, which always names the same files.
    pub(super) fn is_commit(&self) -> bool {
        self.revision.len() == 40 && self.revision.bytes().all(|byte| byte.is_ascii_hexdigit())
    }

    /// Who names it, in a cell of a table: the first, and the number of others.
    pub(super) fn named_by(&self) -> String {
        let mut text = self.by.first().cloned().unwrap_or_default();
        if self.by.len() > 1 {
            let _ = write!(text, " and {} more", self.by.len() - 1);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::collect;
    use crate::manifest::models::{ContainerModels, NamedModel, ObjectModels, Purpose, TOKENIZER_FILES, Unclear};

    fn object(name: &str, models: &[(&str, Option<&str>, Purpose)]) -> ObjectModels {
        let models = models.iter().map(|(model, revision, purpose)| NamedModel {
            name: (*model).to_owned(),
            revision: revision.map(str::to_owned),
            purpose: *purpose,
            by: "--model".to_owned(),
        });
        let unclear = vec![Unclear { by: "--model".to_owned(), text: "$X".to_owned() }];
        let container = ContainerModels { container: "main".to_owned(), models: models.collect(), unclear };
        ObjectModels { name: name.to_owned(), namespace: None, containers: vec![container] }
    }

    #[test]
    fn each_revision_is_wanted_once_and_a_tokenizer_without_its_weights() {
        let (weights, tokenizer) = (Purpose::Weights, Purpose::Tokenizer);
        let objects = [
            object("Deployment/a", &[("a/b", None, tokenizer), ("c/d", None, tokenizer)]),
            object("Deployment/b", &[("a/b", None, weights), ("a/b", Some("v1"), weights)]),
        ];
        let (wanted, notes) = collect(&objects, &[], &[]);
        let found: Vec<_> = wanted.iter().map(|one| (one.model.as_str(), one.revision.as_str())).collect();
        assert_eq!(found, [("a/b", "main"), ("c/d", "main"), ("a/b", "v1")]);
        assert_eq!(wanted[0].by, ["Deployment/a (--model)", "Deployment/b (--model)"]);
        assert_eq!(wanted[0].named_by(), "Deployment/a (--model) and 1 more");
        assert!(wanted[0].include.is_empty());
        assert_eq!(wanted[1].include, TOKENIZER_FILES);
        assert_eq!(notes[0], "Deployment/a, main: --model names a model that is not known from here: $X");
        let (wanted, _) = collect(&objects, &["*.gguf".to_owned()], &[]);
        assert_eq!(wanted[1].patterns(), ["--include", "*.gguf"]);
    }

    #[test]
    fn of_several_revisions_main_is_main_or_else_the_first_commit() {
        let (one, other) = ("1".repeat(40), "2".repeat(40));
        let leaving = |revisions: &[Option<&str>]| {
            let models: Vec<_> = revisions.iter().map(|revision| ("a/b", *revision, Purpose::Weights)).collect();
            let (wanted, _) = collect(&[object("Deployment/a", &models)], &[], &[]);
            wanted.iter().map(|wanted| wanted.leaves_main).collect::<Vec<_>>()
        };
        assert_eq!(leaving(&[Some("v1"), Some(&one), Some(&other)]), [false, false, true]);
        assert_eq!(leaving(&[Some(&one), None, Some("v1")]), [true, false, false]);
        assert_eq!(leaving(&[Some(&one)]), [false]);
    }
}
