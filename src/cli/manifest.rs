//! Which files of a folder are a study's: `files.json`, so that its next run in the same folder can
//! remove those that it no longer writes, and no other study mixes its files with them.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Component, Path};
use std::{fs, io};

use serde::{Deserialize, Serialize};

use super::{files, interrupt};
use crate::report::document::File;
use crate::{Error, report};

pub const NAME: &str = "files.json";

/// What a study has written into its folder, by name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    study: String,
    files: BTreeSet<String>,
}

/// A file that comes after the documents: its name, and what writes it.
pub type Last<'a> = (&'a str, &'a dyn Fn(&mut dyn Write) -> io::Result<()>);

impl Manifest {
    /// The folder's, or an empty one.
    ///
    /// Errors: it is another study's, or no such list at all.
    pub fn read(folder: &Path, study: &str) -> Result<Manifest, Error> {
        let path = folder.join(NAME);
        let refused = |why: String| {
            Error::contradiction(
                path.display().to_string(),
                format!("{why}; name another folder with --out"),
            )
        };
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Ok(Manifest {
                    study: study.to_owned(),
                    files: BTreeSet::new(),
                });
            }
            Err(e) => return Err(files::problem("read", &path, &e)),
        };
        let found: Manifest = serde_json::from_slice(&bytes)
            .map_err(|e| refused(format!("it is not a study's list of files ({e})")))?;
        if found.study != study {
            return Err(refused(format!(
                "the files in this folder are those of the study {}",
                found.study
            )));
        }
        // They will be removed: nothing outside the folder may be named.
        let plain = |name: &str| {
            let mut parts = Path::new(name).components();
            matches!(parts.next(), Some(Component::Normal(part)) if part == name)
        };
        match found.files.iter().find(|name| !plain(name)) {
            Some(name) => Err(refused(format!("\"{name}\" is not the name of a file"))),
            None => Ok(found),
        }
    }

    /// Writes documents, then the last file, and removes what an earlier run wrote beside them: each
    /// file is whole or absent. The result says how many files there are.
    pub fn write_all(
        &self,
        folder: &Path,
        documents: &[File],
        last: Option<Last<'_>>,
    ) -> Result<u64, Error> {
        let mut contents = Vec::new();
        for document in documents {
            contents.extend(report::bytes(document)?);
            interrupt::check()?;
        }
        let mut names: BTreeSet<String> = contents
            .iter()
            .map(|(name, _)| String::from(name.as_str()))
            .collect();
        names.extend(last.map(|(name, _)| name.to_owned()));
        self.announce(folder, &names)?;
        for (name, bytes) in contents {
            files::write(&folder.join(name), |file| file.write_all(&bytes))?;
        }
        if let Some((name, fill)) = last {
            files::write(&folder.join(name), fill)?;
        }
        // The manifest is one more.
        let written = names.len() as u64 + 1;
        self.settle(folder, names)?;
        Ok(written)
    }

    /// Adds the names of files that will be written; before that, so that a run that ends in the
    /// middle leaves none unnamed.
    fn announce(&self, folder: &Path, names: &BTreeSet<String>) -> Result<(), Error> {
        self.with(self.files.union(names).cloned().collect())
            .write(folder)
    }

    /// Removes what an earlier run wrote and this one, of the files `names`, did not.
    fn settle(&self, folder: &Path, names: BTreeSet<String>) -> Result<(), Error> {
        for name in self.files.difference(&names) {
            let path = folder.join(name);
            match fs::remove_file(&path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    return Err(files::problem("remove", &path, &e));
                }
                _ => {}
            }
        }
        self.with(names).write(folder)
    }

    fn with(&self, files: BTreeSet<String>) -> Manifest {
        Manifest {
            study: self.study.clone(),
            files,
        }
    }

    fn write(&self, folder: &Path) -> Result<(), Error> {
        files::write(&folder.join(NAME), |file| {
            serde_json::to_writer_pretty(&mut *file, self)?;
            file.write_all(b"\n")
        })
    }
}
