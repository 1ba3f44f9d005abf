//! The ledger file of measurements.
//!
//! It has one JSON object per line. Lines are only appended, never rewritten. docs/performance.md describes the fields.
//! Every line has its version, run, commit, date and machine. So files can be merged line by line, in any order.

use anyhow::{Context, Result, bail};
use rnnpack_onnx::Shown;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// The version of the lines that this program writes. It reads no other version.
pub const VERSION: u32 = 1;

/// Where a run was measured. Two runs can be compared if `cpu` and `isa` are equal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// The name of the run: equal for all its lines, different for all other runs.
    pub run: String,
    /// The start of the run in UTC, as RFC 3339 writes it.
    pub date: String,
    /// The revision of the repository. `+` is appended if files differ from it. `None` outside of a repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The processor's name.
    pub cpu: String,
    /// The instruction set.
    pub isa: String,
}

impl Origin {
    /// The revision as a text for people.
    pub fn revision(&self) -> &str {
        self.commit.as_deref().unwrap_or("no revision")
    }

    /// A short name of the run: the start of the revision, or the day if there is no revision.
    pub(crate) fn mark(&self) -> String {
        match &self.commit {
            Some(commit) => commit.chars().take(7).collect(),
            None => self.date.chars().take(10).collect(),
        }
    }
}

/// The content of a line, without its origin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Entry {
    /// The start of a run: its plan, and the limits of one core.
    Limits {
        /// How long each case is timed, in seconds.
        seconds: f64,
        /// The names of the cases.
        cases: Vec<String>,
        /// The multiply-add peak, in flop/s.
        peak_flops: f64,
        /// The read bandwidth of each level.
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
    /// The end of a run. All its cases were measured.
    End,
}

/// The bandwidth of reading a buffer of one size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bandwidth {
    /// `L1`, `L2`, `L3` or `DRAM`.
    pub level: String,
    /// The size of the buffer.
    pub bytes: usize,
    /// The bandwidth.
    pub bytes_per_s: f64,
}

/// The times of a case. Limits were measured in the same minute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The name of the case.
    pub name: String,
    /// The number of threads of a call.
    pub threads: u16,
    /// T, B, I, H of a layer. `None` for a model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shape: Option<[usize; 4]>,
    /// How many calls were timed.
    pub calls: u64,
    /// Nanoseconds of the fastest call.
    pub min_ns: f64,
    /// Nanoseconds of the median call.
    pub median_ns: f64,
    /// The flops of a call's products.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flops: Option<f64>,
    /// The least number of bytes that a call must move.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<f64>,
    /// The reached share of the limit in per cent, the median over rounds, each with its own probe. With a batch, the
    /// limit is the multiply-add peak. With one row, it is reading R's bytes at their bandwidth, plus the projection at
    /// the peak.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_percent: Option<f64>,
}

/// A line of the ledger.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Its version, [`VERSION`].
    pub v: u32,
    /// Where it was measured.
    #[serde(flatten)]
    pub origin: Origin,
    /// Its content.
    #[serde(flatten)]
    pub entry: Entry,
}

/// A line that is not a record.
#[derive(Debug, PartialEq)]
pub struct Damaged {
    /// Its number, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

/// Reads a ledger. If there is no such file, the ledger is empty. Also returns the lines that are not records.
///
/// # Errors
/// If the file cannot be read.
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
        Some(v) if v == u64::from(VERSION) => {
            let record: Record = serde_json::from_value(value).map_err(|e| e.to_string())?;
            record.check().map(|()| record)
        }
        Some(v) => Err(format!("version {v}, where this program reads version {VERSION}")),
        None => Err("it has no version".to_owned()),
    }
}

/// The sizes that a measured number can have, in any unit of the ledger.
const MEASURED: RangeInclusive<f64> = 1e-6..=1e24;

impl Record {
    /// Checks that numbers can have been measured, so that every plot of them ends, and that texts are short and
    /// printable.
    fn check(&self) -> Result<(), String> {
        let Origin { run, date, commit, cpu, isa } = &self.origin;
        let mut texts = vec![("run", run), ("date", date), ("cpu", cpu), ("isa", isa)];
        texts.extend(commit.iter().map(|commit| ("commit", commit)));
        let mut numbers = Vec::new();
        match &self.entry {
            Entry::Limits { seconds, cases, peak_flops, bandwidth } => {
                texts.extend(cases.iter().map(|case| ("cases", case)));
                texts.extend(bandwidth.iter().map(|b| ("level", &b.level)));
                numbers.extend([("seconds", *seconds), ("peak_flops", *peak_flops)]);
                numbers.extend(bandwidth.iter().map(|b| ("bytes_per_s", b.bytes_per_s)));
            }
            Entry::Case(m) => {
                texts.push(("name", &m.name));
                numbers.extend([("min_ns", m.min_ns), ("median_ns", m.median_ns)]);
                let limit = m.limit_percent.filter(|&percent| percent != 0.0);
                let optional = [("flops", m.flops), ("bytes", m.bytes), ("limit_percent", limit)];
                numbers.extend(optional.into_iter().filter_map(|(name, number)| Some((name, number?))));
            }
            Entry::Criterion { name, min_ns, median_ns, .. } => {
                texts.push(("name", name));
                numbers.extend([("min_ns", *min_ns), ("median_ns", *median_ns)]);
            }
            Entry::End => {}
        }
        if let Some((name, text)) = texts.into_iter().find(|(_, text)| Shown(text).to_string() != **text) {
            return Err(format!("{name} {} is too long, or not printable", Shown(text)));
        }
        match numbers.into_iter().find(|(_, number)| !MEASURED.contains(number)) {
            Some((name, number)) => Err(format!("{name} is {number:e}, which nothing measures")),
            None => Ok(()),
        }
    }
}

/// A ledger that this program alone extends until it is dropped or the program ends.
pub(crate) struct Claimed {
    path: PathBuf,
    file: File,
}

impl Claimed {
    /// Claims the ledger at `path`; creates the file if there is none.
    pub(crate) fn new(path: &Path) -> Result<Claimed> {
        let file = open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Claimed { path: path.to_owned(), file }),
            Err(TryLockError::WouldBlock) => {
                bail!("another `rnnpack perf record` extends {}: wait until it ends", path.display())
            }
            Err(TryLockError::Error(e)) => Err(e).with_context(|| format!("cannot lock {}", path.display())),
        }
    }

    /// [`read`]s the ledger.
    pub(crate) fn read(&self) -> Result<(Vec<Record>, Vec<Damaged>)> {
        let mut bytes = Vec::new();
        let mut file = &self.file;
        let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_end(&mut bytes));
        read.with_context(|| format!("cannot read {}", self.path.display()))?;
        Ok(parse(&bytes))
    }

    /// Appends a record, as [`append`].
    pub(crate) fn append(&self, origin: &Origin, entry: Entry) -> Result<()> {
        write_line(&self.path, &self.file, line(origin, entry)?)
    }
}

/// Appends a record to a ledger and passes it to the operating system.
///
/// # Errors
/// If the file cannot be written.
pub fn append(path: &Path, origin: &Origin, entry: Entry) -> Result<()> {
    append_line(path, line(origin, entry)?)
}

fn line(origin: &Origin, entry: Entry) -> Result<String> {
    Ok(serde_json::to_string(&Record { v: VERSION, origin: origin.clone(), entry })?)
}

/// Appends a line to a file. Creates the file if there is none. If the last line is only half written, starts a new
/// one.
pub(crate) fn append_line(path: &Path, line: String) -> Result<()> {
    write_line(path, &open(path)?, line)
}

fn open(path: &Path) -> Result<File> {
    let open = || {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        OpenOptions::new().create(true).append(true).read(true).open(path)
    };
    open().with_context(|| format!("cannot write {}", path.display()))
}

fn write_line(path: &Path, mut file: &File, mut line: String) -> Result<()> {
    let mut write = || -> Result<()> {
        line.push('\n');
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
        // This appends after the half-written line.
        append(&path, &origin(), Entry::End).unwrap();
        let (records, damaged) = read(&path).unwrap();
        assert_eq!(records.iter().map(|r| &r.entry).collect::<Vec<_>>(), [&measured(), &Entry::End]);
        assert_eq!(damaged.iter().map(|d| d.line).collect::<Vec<_>>(), [2, 3, 4, 5, 7]);
        assert!(damaged[0].reason.contains("version 2"), "{}", damaged[0].reason);
        assert!(fs::read(&path).unwrap().starts_with(&before));
    }

    #[test]
    fn numbers_that_nothing_measures_and_texts_that_are_not_printable_are_damage() {
        let record = Record { v: VERSION, origin: origin(), entry: measured() };
        let limits = Entry::Limits {
            seconds: 1.0,
            cases: vec!["a".into()],
            peak_flops: 1e11,
            bandwidth: vec![Bandwidth { level: "L1".into(), bytes: 1, bytes_per_s: 1e11 }],
        };
        let limits = Record { entry: limits, ..record.clone() };
        for record in [&record, &limits] {
            let whole = serde_json::to_value(record).unwrap();
            assert_eq!(parse(whole.to_string().as_bytes()).1, []);
            let damaged = |change: &dyn Fn(&mut serde_json::Value)| {
                let mut value = whole.clone();
                change(&mut value);
                let (records, damaged) = parse(value.to_string().as_bytes());
                assert_eq!((records.len(), damaged.len()), (0, 1), "{value}");
                damaged[0].reason.clone()
            };
            let numbers = match &record.entry {
                Entry::Case(_) => &["/min_ns", "/median_ns", "/flops", "/limit_percent"][..],
                _ => &["/seconds", "/peak_flops", "/bandwidth/0/bytes_per_s"],
            };
            for &at in numbers {
                for number in [-1.0, 1e-320, 1e-7, 1e25, f64::MAX, f64::MIN_POSITIVE] {
                    let reason = damaged(&|v| *v.pointer_mut(at).unwrap() = number.into());
                    assert!(reason.contains(at.rsplit('/').next().unwrap()), "{reason}");
                }
                let limit = at == "/limit_percent";
                assert!(limit || damaged(&|v| *v.pointer_mut(at).unwrap() = 0.into()).contains("is 0e0"));
            }
            for text in ["a\u{1b}[2J", "a\nb", &"x".repeat(200)] {
                let reason = damaged(&|v| v["cpu"] = text.into());
                assert!(reason.starts_with("cpu ") && !reason.contains(char::is_control), "{reason}");
            }
        }
    }

    #[test]
    fn a_ledger_is_claimed_once_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/ledger.jsonl");
        let claimed = Claimed::new(&path).unwrap();
        let error = Claimed::new(&path).err().unwrap().to_string();
        assert!(error.contains("another `rnnpack perf record` extends"), "{error}");
        claimed.append(&origin(), measured()).unwrap();
        claimed.append(&origin(), Entry::End).unwrap();
        assert_eq!(claimed.read().unwrap().0.len(), 2);
        drop(claimed);
        assert_eq!(Claimed::new(&path).unwrap().read().unwrap().0.len(), 2);
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
