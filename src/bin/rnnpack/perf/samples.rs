//! Launches that were measured, kept in a file until their comparison is complete.

use super::stats::{Launch, Turn};
use super::suite::Case;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

pub(crate) struct Samples {
    path: PathBuf,
    launches: BTreeMap<String, Vec<Launch>>,
}

impl Samples {
    /// Those of an interrupted comparison, or none. A line that was half written is left out.
    pub(crate) fn open(path: &Path) -> Result<Samples> {
        let text = match fs::read(path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            bytes => bytes.with_context(|| format!("cannot read {}", path.display()))?,
        };
        let mut launches: BTreeMap<String, Vec<Launch>> = BTreeMap::new();
        for (name, launch) in String::from_utf8_lossy(&text).lines().filter_map(parse) {
            launches.entry(name).or_default().push(launch);
        }
        Ok(Samples { path: path.to_owned(), launches })
    }

    pub(crate) fn of(&self, case: Case) -> &[Launch] {
        self.launches.get(&case.name()).map_or(&[], Vec::as_slice)
    }

    /// Adds a launch, and writes it.
    pub(crate) fn add(&mut self, case: Case, launch: Launch) -> Result<()> {
        let write = || -> Result<()> {
            if let Some(folder) = self.path.parent() {
                fs::create_dir_all(folder)?;
            }
            let turns = launch.iter().map(|[a, b]| [a.min, a.median, b.min, b.median]);
            let line = json!({ "case": case.name(), "turns": turns.collect::<Vec<_>>() });
            let mut file = OpenOptions::new().create(true).append(true).open(&self.path)?;
            Ok(file.write_all(format!("{line}\n").as_bytes())?)
        };
        write().with_context(|| format!("cannot write {}", self.path.display()))?;
        self.launches.entry(case.name()).or_default().push(launch);
        Ok(())
    }

    /// Removes the file: the comparison is complete.
    pub(crate) fn finish(self) -> Result<()> {
        match fs::remove_file(&self.path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(e).with_context(|| format!("cannot remove {}", self.path.display()))
            }
            _ => Ok(()),
        }
    }
}

fn parse(line: &str) -> Option<(String, Launch)> {
    let value: Value = serde_json::from_str(line).ok()?;
    let turn = |turn: &Value| {
        let of = |i: usize| Some(Turn { min: turn[i].as_f64()?, median: turn[i + 1].as_f64()? });
        Some([of(0)?, of(2)?])
    };
    let launch = value["turns"].as_array()?.iter().map(turn).collect::<Option<Launch>>()?;
    Some((value["case"].as_str()?.to_owned(), launch))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perf::suite::suite;

    #[test]
    fn launches_survive_an_interruption_and_are_gone_when_all_is_done() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/samples.jsonl");
        let turn = |min: f64| Turn { min, median: min + 1.0 };
        let launch = vec![[turn(1.0), turn(2.0)], [turn(3.0), turn(4.0)]];
        let case = suite()[0];
        let mut samples = Samples::open(&path).unwrap();
        assert_eq!(samples.of(case), &[] as &[Launch]);
        samples.add(case, launch.clone()).unwrap();
        samples.add(case, launch.clone()).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, &text[..text.len() - 10]).unwrap();
        let samples = Samples::open(&path).unwrap();
        assert_eq!(samples.of(case), [launch]);
        assert_eq!(samples.of(suite()[1]).len(), 0);
        samples.finish().unwrap();
        assert!(!path.exists());
    }
}
