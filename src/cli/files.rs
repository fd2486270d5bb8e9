//! Options that name files with objects.

use std::path::PathBuf;

use clap::Args;

/// Files with objects, as kubectl takes them.
#[derive(Clone, Debug, Default, Args)]
#[group(id = "files", multiple = true)]
pub struct Files {
    /// A file with objects, YAML or JSON with any number of documents, or a folder; - for standard input; may be repeated.
    ///
    /// Of a folder, the files that end in .yaml, .yml or .json are read, in the order of their names.
    #[arg(short, long, value_name = "FILE")]
    pub filename: Vec<PathBuf>,
    /// Reads the folders below the folders of --filename too.
    #[arg(short = 'R', long, requires = "filename")]
    pub recursive: bool,
}
