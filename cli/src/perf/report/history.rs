//! The runs of one machine, in order of time.

use crate::perf::ledger::{Bandwidth, Entry, Measured, Origin, Record};
use std::collections::BTreeMap;

/// One run.
pub(crate) struct Run {
    pub(crate) origin: Origin,
    /// The peak of one core, in flop/s. `None` if the ledger has no such line.
    pub(crate) peak_flops: Option<f64>,
    pub(crate) bandwidth: Vec<Bandwidth>,
    pub(crate) cases: Vec<Measured>,
}

/// The runs. There is at least one.
pub(crate) struct History {
    pub(crate) runs: Vec<Run>,
    /// For each case, its results: the index of the run, and the index in the run.
    results: BTreeMap<String, Vec<(usize, usize)>>,
}

/// A case in the last two runs that have it: the nanoseconds of their fastest calls.
#[derive(Debug, PartialEq)]
pub(crate) struct Change {
    pub(crate) name: String,
    pub(crate) before: f64,
    pub(crate) after: f64,
}

impl History {
    /// The runs on the same processor and instruction set as the last run. Results of `cargo bench` count as cases.
    /// `None` if there are no cases.
    pub(crate) fn of_last_machine(records: &[Record]) -> Option<History> {
        let mut runs: BTreeMap<(&str, &str), Run> = BTreeMap::new();
        for Record { origin, entry, .. } in records {
            let new =
                || Run { origin: origin.clone(), peak_flops: None, bandwidth: Vec::new(), cases: Vec::new() };
            let run = runs.entry((&origin.date, &origin.run)).or_insert_with(new);
            match entry {
                Entry::Limits { peak_flops, bandwidth, .. } => {
                    run.peak_flops = Some(*peak_flops);
                    run.bandwidth.clone_from(bandwidth);
                }
                Entry::Case(measured) => run.cases.push(measured.clone()),
                Entry::Criterion { name, min_ns, median_ns, calls } => run.cases.push(Measured {
                    name: format!("criterion/{name}"),
                    threads: 1,
                    shape: None,
                    calls: *calls,
                    min_ns: *min_ns,
                    median_ns: *median_ns,
                    flops: None,
                    bytes: None,
                    limit_percent: None,
                }),
                Entry::End => {}
            }
        }
        let mut runs: Vec<Run> = runs.into_values().filter(|run| !run.cases.is_empty()).collect();
        let machine = |run: &Run| (run.origin.cpu.clone(), run.origin.isa.clone());
        let last = machine(runs.last()?);
        runs.retain(|run| machine(run) == last);
        let mut results: BTreeMap<String, Vec<(usize, usize)>> = BTreeMap::new();
        for (r, run) in runs.iter().enumerate() {
            for (c, case) in run.cases.iter().enumerate() {
                let of_case = results.entry(case.name.clone()).or_default();
                if of_case.last().is_none_or(|&(last, _)| last != r) {
                    of_case.push((r, c));
                }
            }
        }
        Some(History { runs, results })
    }

    /// The last run of the suite. If there are only results of `cargo bench`, the last of these.
    pub(crate) fn last(&self) -> &Run {
        let of_suite = self.runs.iter().rfind(|run| run.peak_flops.is_some());
        of_suite.unwrap_or(&self.runs[self.runs.len() - 1])
    }

    /// The names of all cases, sorted.
    pub(crate) fn cases(&self) -> impl Iterator<Item = &str> {
        self.results.keys().map(String::as_str)
    }

    /// The results of a case, each with the index of its run.
    pub(crate) fn of<'a>(&'a self, name: &str) -> impl Iterator<Item = (usize, &'a Measured)> {
        let places = self.results.get(name).map_or(&[][..], Vec::as_slice);
        places.iter().map(move |&(run, case)| (run, &self.runs[run].cases[case]))
    }

    /// The changes between the last two runs of each case, the slowest first.
    pub(crate) fn changes(&self) -> Vec<Change> {
        let change = |name: &str| {
            let times: Vec<f64> = self.of(name).map(|(_, m)| m.min_ns).collect();
            let &[.., before, after] = &times[..] else { return None };
            Some(Change { name: name.to_owned(), before, after })
        };
        let mut changes: Vec<Change> = self.cases().filter_map(change).collect();
        changes.sort_by(|a, b| (b.after / b.before).total_cmp(&(a.after / a.before)));
        changes
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::perf::ledger::VERSION;

    pub(crate) fn record(run: &str, entry: Entry) -> Record {
        let [run, date] = [run, run].map(str::to_owned);
        let [commit, cpu, isa] = ["c0ffee", "cpu", "avx2"].map(str::to_owned);
        let commit = Some(commit);
        Record { v: VERSION, origin: Origin { run, date, commit, cpu, isa }, entry }
    }

    pub(crate) fn limits() -> Entry {
        let level = |level: &str, bytes_per_s: f64| Bandwidth { level: level.into(), bytes: 1, bytes_per_s };
        Entry::Limits {
            seconds: 1.0,
            cases: Vec::new(),
            peak_flops: 1e11,
            bandwidth: vec![level("L1", 2e11), level("DRAM", 1e10)],
        }
    }

    pub(crate) fn measured(name: &str, min_ns: f64) -> Entry {
        Entry::Case(Measured {
            name: name.into(),
            threads: 1,
            shape: Some([1, 2, 3, 4]),
            calls: 5,
            min_ns,
            median_ns: 1.1 * min_ns,
            flops: Some(1e3),
            bytes: Some(1e3),
            limit_percent: Some(50.0),
        })
    }

    #[test]
    fn runs_come_in_order_of_time_and_of_one_machine() {
        let [first, other] = ["0", "2"].map(|run| {
            let mut other = record(run, measured("a", 7.0));
            other.origin.cpu = "another".into();
            other
        });
        let records = [
            record("3", measured("a", 30.0)),
            record("3", measured("b", 5.0)),
            other,
            first,
            record("1", measured("b", 10.0)),
            record("1", measured("a", 20.0)),
        ];
        let history = History::of_last_machine(&records).unwrap();
        assert_eq!(history.runs.iter().map(|run| run.origin.run.as_str()).collect::<Vec<_>>(), ["1", "3"]);
        let change = |name: &str, before, after| Change { name: name.into(), before, after };
        assert_eq!(history.changes(), [change("a", 20.0, 30.0), change("b", 10.0, 5.0)]);
        assert!(History::of_last_machine(&[record("1", limits())]).is_none());
    }

    #[test]
    fn a_case_is_compared_with_the_last_run_that_had_it() {
        let records = [
            record("1", measured("a", 20.0)),
            record("2", measured("b", 1.0)),
            record("3", measured("a", 10.0)),
        ];
        let changes = History::of_last_machine(&records).unwrap().changes();
        assert_eq!(changes, [Change { name: "a".into(), before: 20.0, after: 10.0 }]);
    }
}
