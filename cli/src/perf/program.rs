//! The programs to compare.

use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program that has the command `perf worker`.
#[derive(Debug)]
pub struct Program {
    /// As the user named it.
    pub name: String,
    /// Its file.
    pub path: PathBuf,
}

impl Program {
    /// The program at this path.
    ///
    /// # Errors
    /// If there is no such file.
    pub fn at(path: &str) -> Result<Program> {
        let file = Path::new(path);
        if !file.is_file() {
            bail!("{path} is not a program");
        }
        Ok(Program { name: path.to_owned(), path: file.canonicalize()? })
    }

    /// The running program.
    pub(crate) fn this() -> Result<Program> {
        Ok(Program { name: "this program".to_owned(), path: std::env::current_exe()? })
    }

    /// A name that depends only on the program's contents.
    pub(crate) fn id(&self) -> Result<String> {
        let bytes =
            std::fs::read(&self.path).with_context(|| format!("cannot read {}", self.path.display()))?;
        Ok(id_of(&bytes))
    }

    /// The names of the program's cases.
    ///
    /// # Errors
    /// If it is a program without the command `perf`.
    pub(crate) fn cases(&self) -> Result<BTreeSet<String>> {
        let out = Command::new(&self.path).args(["perf", "record", "--list", "--json"]).output();
        let out = out.with_context(|| format!("cannot start {}", self.path.display()))?;
        let list =
            serde_json::from_slice::<serde_json::Value>(&out.stdout).ok().filter(|_| out.status.success());
        let names = list.as_ref().and_then(|list| list["cases"].as_array());
        let Some(names) = names else {
            bail!(
                "{} has no `perf record --list`: it is no rnnpack, or older than its command `perf`",
                self.name
            )
        };
        Ok(names.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect())
    }
}

/// A short name that depends only on `value`.
pub fn id_of(value: &impl Hash) -> String {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}
