//! The changed documents as text.

use std::fmt::Write;

use serde_json::Value;

use crate::cli::InjectOutput;
use crate::manifest::inject::Changed;
use crate::terminal::diff;
use crate::yaml;

/// All documents in the form that was asked for.
pub(super) fn documents(changed: Vec<Changed>, output: InjectOutput) -> String {
    let mut text = String::new();
    match output {
        InjectOutput::Diff => {
            let coloured = diff::wants_colour();
            for Changed { name, before, after, .. } in changed {
                text += &diff::unified(&name, &before, &after, coloured);
            }
        }
        InjectOutput::Json => {
            for Changed { after, .. } in changed {
                let _ = writeln!(text, "{after:#}");
            }
        }
        InjectOutput::Patch => {
            for Changed { operations, .. } in changed {
                let _ = writeln!(text, "{}", Value::Array(operations));
            }
        }
        InjectOutput::Yaml => {
            for Changed { after, .. } in changed {
                if !text.is_empty() {
                    text += "---\n";
                }
                text += &yaml::write(&after);
            }
        }
    }
    text
}
