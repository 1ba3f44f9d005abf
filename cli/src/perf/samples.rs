//! Measured launches, kept in a file until their comparison is complete.

use super::ledger::append_line;
use super::stats::{Launch, Turn};
use super::suite::Case;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

pub(crate) struct Samples {
    path: PathBuf,
    launches: BTreeMap<String, Vec<Launch>>,
}

impl Samples {
    /// Reads the launches of an interrupted comparison. If there is none, there are no launches. A half-written line is
    /// ignored.
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

    /// Adds a launch and writes it to the file.
    pub(crate) fn add(&mut self, case: Case, launch: Launch) -> Result<()> {
        append_line(&self.path, line(&case.name(), &launch))?;
        self.launches.entry(case.name()).or_default().push(launch);
        Ok(())
    }

    /// Removes the launches of cases whose comparison is complete. Removes the file if no launch is left.
    pub(crate) fn finish(mut self, cases: &[Case]) -> Result<()> {
        self.launches.retain(|name, _| !cases.iter().any(|case| case.name() == *name));
        let of_case = |(name, launches): (&String, &Vec<Launch>)| -> String {
            launches.iter().map(|launch| line(name, launch) + "\n").collect()
        };
        let left: String = self.launches.iter().map(of_case).collect();
        let done = match left.is_empty() {
            true => fs::remove_file(&self.path),
            false => return crate::output::write(&self.path, left.as_bytes()),
        };
        match done {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(e).with_context(|| format!("cannot write {}", self.path.display()))
            }
            _ => Ok(()),
        }
    }
}

fn line(name: &str, launch: &Launch) -> String {
    let turns = launch.iter().map(|[a, b]| [a.min, a.median, b.min, b.median]);
    json!({ "case": name, "turns": turns.collect::<Vec<_>>() }).to_string()
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
        let mut samples = Samples::open(&path).unwrap();
        assert_eq!(samples.of(case), std::slice::from_ref(&launch));
        assert_eq!(samples.of(suite()[1]).len(), 0);
        // After the half-written line. The launches of another case remain when one case is complete.
        samples.add(suite()[1], launch.clone()).unwrap();
        samples.finish(&[case]).unwrap();
        let samples = Samples::open(&path).unwrap();
        assert_eq!((samples.of(case).len(), samples.of(suite()[1])), (0, &[launch][..]));
        samples.finish(&[suite()[1]]).unwrap();
        assert!(!path.exists());
    }
}
