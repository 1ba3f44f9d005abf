//! Where a program that tracks speed keeps its files.

/// Default files and folders, relative to the current folder. Arguments can replace them.
#[derive(Clone, Copy, Debug)]
pub struct Places {
    /// The ledger.
    pub ledger: &'static str,
    /// The page that is written from the ledger.
    pub page: &'static str,
    /// The folder of runs of the peers. The page shows the last one by name.
    pub peers: Option<&'static str>,
    /// The folder for the measurements of an interrupted comparison.
    pub samples: &'static str,
    /// Other results, relative to the root of the repository. They do not count as changes of it.
    pub results: &'static [&'static str],
}

impl Places {
    /// The places of the command, which runs in any folder.
    pub const COMMAND: Places = Places {
        ledger: "rnnpack-perf.jsonl",
        page: "rnnpack-perf.html",
        peers: None,
        samples: ".",
        results: &[],
    };
}
