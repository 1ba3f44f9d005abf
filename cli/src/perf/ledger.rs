//! The ledger: one JSON object a line, appended and never rewritten. docs/performance.md describes the fields.
//!
//! Lines stand for themselves: each has its version, run, commit, date and machine, so that files merge line by line
//! and in any order.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::fs::{self, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

/// The version of the lines that are written; others are not read.
pub const VERSION: u32 = 1;

/// Where a run was made. Two runs compare where `cpu` and `isa` are the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// Of the run: all its lines have it, and no other's.
    pub run: String,
    /// UTC, as RFC 3339 writes it.
    pub date: String,
    /// The revision of the repository, with `+` behind it where files differed from it; none outside of a repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The processor's name.
    pub cpu: String,
    /// The instruction set.
    pub isa: String,
}

impl Origin {
    /// The revision, as people are told it.
    pub fn revision(&self) -> &str {
        self.commit.as_deref().unwrap_or("no revision")
    }

    /// A short mark of the run: the start of the revision, or the day where there is none.
    pub(crate) fn mark(&self) -> String {
        match &self.commit {
            Some(commit) => commit.chars().take(7).collect(),
            None => self.date.chars().take(10).collect(),
        }
    }
}

/// What a line holds, beside its origin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Entry {
    /// The start of a run: what it is to measure, and the limits of one core.
    Limits {
        /// How long each case is timed.
        seconds: f64,
        /// The names of the cases.
        cases: Vec<String>,
        /// The multiply-add peak, in flop/s.
        peak_flops: f64,
        /// Reading, level by level.
        bandwidth: Vec<Bandwidth>,
    },
    /// A case of the suite.
    Case(Measured),
    /// A benchmark of `cargo bench`.
    Criterion {
        /// Its name.
        name: String,
        /// Nanoseconds of the fastest call.
        min_ns: f64,
        /// Nanoseconds of the median call.
        median_ns: f64,
        /// How many calls were timed.
        calls: u64,
    },
    /// The end of a run whose cases were all measured.
    End,
}

/// What reading a buffer of a size comes to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bandwidth {
    /// `L1`, `L2`, `L3` or `DRAM`.
    pub level: String,
    /// The size.
    pub bytes: usize,
    /// The bandwidth.
    pub bytes_per_s: f64,
}

/// A case's times, beside the limits of the same minute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The name of the case.
    pub name: String,
    /// Threads of a call.
    pub threads: u16,
    /// T, B, I, H of a layer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shape: Option<[usize; 4]>,
    /// How many calls were timed.
    pub calls: u64,
    /// Nanoseconds of the fastest call.
    pub min_ns: f64,
    /// Nanoseconds of the median call.
    pub median_ns: f64,
    /// Flops of a call's products.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flops: Option<f64>,
    /// Bytes that a call moves at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<f64>,
    /// Per cent of the limit: of the multiply-add peak with a batch, of R's bytes at their bandwidth and the projection
    /// at the peak with one row. The median over rounds, each with its own probe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_percent: Option<f64>,
}

/// A line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// [`VERSION`].
    pub v: u32,
    /// Where it was made.
    #[serde(flatten)]
    pub origin: Origin,
    /// What it holds.
    #[serde(flatten)]
    pub entry: Entry,
}

/// A line that is no record.
#[derive(Debug, PartialEq)]
pub struct Damaged {
    /// From 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

/// Reads a ledger; a file that is not there is an empty one.
///
/// # Errors
/// Where it cannot be read. Lines that are no records are listed beside those that are.
pub fn read(path: &Path) -> Result<(Vec<Record>, Vec<Damaged>)> {
    match fs::read(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok((Vec::new(), Vec::new())),
        bytes => Ok(parse(&bytes.with_context(|| format!("cannot read {}", path.display()))?)),
    }
}

fn parse(bytes: &[u8]) -> (Vec<Record>, Vec<Damaged>) {
    let (mut records, mut damaged) = (Vec::new(), Vec::new());
    for (i, line) in bytes.split(|&b| b == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        match parse_line(line) {
            Ok(record) => records.push(record),
            Err(reason) => damaged.push(Damaged { line: i + 1, reason }),
        }
    }
    (records, damaged)
}

fn parse_line(line: &[u8]) -> Result<Record, String> {
    let value: serde_json::Value = serde_json::from_slice(line).map_err(|e| e.to_string())?;
    match value.get("v").and_then(serde_json::Value::as_u64) {
        Some(v) if v == u64::from(VERSION) => serde_json::from_value(value).map_err(|e| e.to_string()),
        Some(v) => Err(format!("version {v}, where this program reads version {VERSION}")),
        None => Err("it has no version".to_owned()),
    }
}

/// Appends a record and hands it to the system.
///
/// # Errors
/// Where the file cannot be written.
pub fn append(path: &Path, origin: &Origin, entry: Entry) -> Result<()> {
    append_line(path, serde_json::to_string(&Record { v: VERSION, origin: origin.clone(), entry })?)
}

/// Appends a line to a file, which is made where it is not there, and starts a new one behind a half-written one.
pub(crate) fn append_line(path: &Path, mut line: String) -> Result<()> {
    let mut write = || -> Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        line.push('\n');
        let mut file = OpenOptions::new().create(true).append(true).read(true).open(path)?;
        if file.seek(SeekFrom::End(0))? > 0 {
            let mut last = [0];
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                line.insert(0, '\n');
            }
        }
        Ok(file.write_all(line.as_bytes())?)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin() -> Origin {
        let text = |s: &str| s.to_owned();
        Origin { run: text("r"), date: text("d"), commit: Some(text("c")), cpu: text("x"), isa: text("avx2") }
    }

    fn measured() -> Entry {
        Entry::Case(Measured {
            name: "step/lstm/1,1,8,8/f32/1".into(),
            threads: 1,
            shape: Some([1, 1, 8, 8]),
            calls: 10,
            min_ns: 1.5,
            median_ns: 2.5,
            flops: Some(1024.0),
            bytes: None,
            limit_percent: Some(50.0),
        })
    }

    #[test]
    fn what_is_appended_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/ledger.jsonl");
        assert_eq!(read(&path).unwrap(), (vec![], vec![]));
        let bandwidth = vec![Bandwidth { level: "L1".into(), bytes: 1 << 14, bytes_per_s: 3e11 }];
        let criterion = Entry::Criterion { name: "tile/x".into(), min_ns: 1.0, median_ns: 2.0, calls: 3 };
        let cases = vec!["step/lstm/1,1,8,8/f32/1".to_owned()];
        let entries = [
            Entry::Limits { seconds: 1.0, cases, peak_flops: 1e11, bandwidth },
            measured(),
            criterion,
            Entry::End,
        ];
        for entry in &entries {
            append(&path, &origin(), entry.clone()).unwrap();
        }
        let (records, damaged) = read(&path).unwrap();
        assert_eq!(damaged, []);
        assert!(records.iter().all(|r| r.v == VERSION && r.origin == origin()));
        assert_eq!(records.into_iter().map(|r| r.entry).collect::<Vec<_>>(), entries);
    }

    #[test]
    fn damaged_lines_are_named_and_skipped_and_stay_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.jsonl");
        append(&path, &origin(), measured()).unwrap();
        let whole = fs::read(&path).unwrap();
        let half = &whole[..whole.len() / 2];
        let future = b"{\"v\":2,\"kind\":\"case\"}\n\xff\xfe\n{}\n[1]\n";
        fs::write(&path, [&whole[..], future, b"\n", half].concat()).unwrap();
        let before = fs::read(&path).unwrap();
        // Behind the half-written line.
        append(&path, &origin(), Entry::End).unwrap();
        let (records, damaged) = read(&path).unwrap();
        assert_eq!(records.iter().map(|r| &r.entry).collect::<Vec<_>>(), [&measured(), &Entry::End]);
        assert_eq!(damaged.iter().map(|d| d.line).collect::<Vec<_>>(), [2, 3, 4, 5, 7]);
        assert!(damaged[0].reason.contains("version 2"), "{}", damaged[0].reason);
        assert!(fs::read(&path).unwrap().starts_with(&before));
    }

    #[test]
    fn every_cut_of_a_line_is_damaged_or_the_whole_line() {
        let record = Record { v: VERSION, origin: origin(), entry: measured() };
        let line = serde_json::to_string(&record).unwrap();
        for cut in 1..line.len() {
            let (records, damaged) = parse(&line.as_bytes()[..cut]);
            assert_eq!((records.len(), damaged.len()), (0, 1), "{cut}");
        }
        assert_eq!(parse(line.as_bytes()), (vec![record], vec![]));
    }
}
