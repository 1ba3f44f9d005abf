//! Where a program that tracks speed keeps its files.

/// Files and folders, from the folder that the program runs in, unless its arguments name others.
#[derive(Clone, Copy, Debug)]
pub struct Places {
    /// The ledger.
    pub ledger: &'static str,
    /// The page that is made of it.
    pub page: &'static str,
    /// The folder of runs of the peers, of which the last by name is in the page.
    pub peers: Option<&'static str>,
    /// The folder of what an interrupted comparison has measured.
    pub samples: &'static str,
    /// Other results below the root of the repository, which do not count as a change of it.
    pub results: &'static [&'static str],
}

impl Places {
    /// Those of the command, which runs anywhere.
    pub const COMMAND: Places = Places {
        ledger: "rnnpack-perf.jsonl",
        page: "rnnpack-perf.html",
        peers: None,
        samples: ".",
        results: &[],
    };
}
