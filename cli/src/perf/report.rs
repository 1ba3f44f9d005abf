//! `rnnpack perf report`: writes the ledger as one HTML page that needs no other files.

mod history;
mod peers;
mod plots;

use super::places::Places;
use super::{console, ledger};
use crate::outcome::Outcome;
use crate::report::{self, micros};
use anyhow::{Context, Result, bail};
use history::{Change, History};
use peers::Peers;
use serde_json::json;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The number of rows at each end of the table of changes.
const CHANGES: usize = 5;

/// Write the ledger as a page with plots
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The ledger; the default is ./rnnpack-perf.jsonl
    #[arg(long, value_name = "FILE")]
    ledger: Option<PathBuf>,
    /// A run of the peers in the format of benches/peers in rnnpack's repository
    #[arg(long, value_name = "FILE.csv")]
    peers: Option<PathBuf>,
    /// The page; the default is ./rnnpack-perf.html
    #[arg(long, value_name = "FILE.html")]
    output: Option<PathBuf>,
}

/// Writes the page.
///
/// # Errors
/// If the ledger has no results, or a file cannot be read or written.
pub fn report(args: &Args, places: &Places, json: bool) -> Result<Outcome> {
    let ledger = args.ledger.clone().unwrap_or_else(|| places.ledger.into());
    let output = args.output.clone().unwrap_or_else(|| places.page.into());
    let (records, damaged) = ledger::read(&ledger)?;
    console::report_damage(&ledger, &damaged);
    let Some(history) = History::of_last_machine(&records) else {
        bail!("{} has no results: make some with `rnnpack perf record`", ledger.display());
    };
    let peers = match args.peers.clone().or_else(|| newest_peers(places.peers?)) {
        Some(path) => Some(Peers::read(&path).with_context(|| format!("cannot read {}", path.display()))?),
        None => None,
    };
    let page = page(&history, peers.as_ref())?;
    if let Some(folder) = output.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    crate::output::write(&output, page.as_bytes())?;
    let text = || format!("wrote {}\n", output.display());
    report::emit(json, || json!({ "page": output, "skipped_lines": damaged.len() }), text)?;
    Ok(Outcome::Done)
}

fn newest_peers(folder: &str) -> Option<PathBuf> {
    let files = std::fs::read_dir(Path::new(folder)).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    files.filter(|path| path.extension().is_some_and(|e| e == "csv")).max()
}

/// The whole page.
fn page(history: &History, peers: Option<&Peers>) -> Result<String> {
    let mut body = String::new();
    let last = history.last();
    let origin = &last.origin;
    write!(
        body,
        "<h1>rnnpack performance</h1>\n<p>{} runs on {}, {}. The last: {}, revision <code>{}</code>.</p>\n",
        history.runs.len(),
        escape(&origin.cpu),
        escape(&origin.isa),
        escape(&origin.date),
        escape(origin.revision()),
    )?;
    body += &changes(&history.changes())?;
    body += &section("Roofline", ROOFLINE, &wide(&plots::roofline(last)?));
    body += &section("Last run", LAST_RUN, &results(last)?);
    if let Some(peers) = peers {
        let note = format!("{PEERS_NOTE} {}", escape(&peers.machine));
        let plots: String =
            peers.groups().map(|group| Ok(wide(&plots::peers(group)?))).collect::<Result<_>>()?;
        body += &section("Peers", &note, &plots);
    }
    let trends: String = history.cases().map(|name| plots::trend(history, name)).collect::<Result<_>>()?;
    body += &section("Trends", TRENDS, &format!("<div class=\"grid\">{trends}</div>"));
    Ok(include_str!("report/page.html").replace("<!-- body -->", &body))
}

const ROOFLINE: &str = "Each dot is a case of the last run: flops of its products for each byte that it moves at least, \
    against what it achieved. Lines are the limits of one core in that run: the multiply-add peak, and the bandwidth of \
    each cache level.";
const LAST_RUN: &str = "Microseconds a call. The limit is the multiply-add peak with a batch; with one row it is R's \
    bytes at their bandwidth at every step, and the projection of the input at the peak.";
const PEERS_NOTE: &str =
    "Fastest call as a multiple of rnnpack's: shorter is faster. f32, called from Python.";
const TRENDS: &str = "Microseconds of the fastest (full line) and the median call (thin line), run by run. Runs are made at \
    different times: differences below 10% say little, and `rnnpack perf compare` is what proves them.";

/// Wraps content that may be wider than the page.
fn wide(content: &str) -> String {
    format!("<div class=\"wide\">{content}</div>")
}

fn section(title: &str, note: &str, content: &str) -> String {
    let note = note.replace("`rnnpack perf compare`", "<code>rnnpack perf compare</code>");
    format!("<section>\n<h2>{title}</h2>\n<p>{note}</p>\n{content}\n</section>\n")
}

/// The worst and the best changes since the run before.
fn changes(changes: &[Change]) -> Result<String> {
    if changes.is_empty() {
        let note = "Here will be what changed from run to run; so far there is one.";
        return Ok(section("Changes", note, ""));
    }
    // The changes are sorted, the slowest first.
    let shown = |i: usize| i < CHANGES || i + CHANGES >= changes.len();
    let mut rows = String::new();
    for (i, Change { name, before, after }) in changes.iter().enumerate().filter(|&(i, _)| shown(i)) {
        let ratio = after / before;
        let class = if ratio > 1.1 {
            "bad"
        } else if ratio < 1.0 / 1.1 {
            "good"
        } else {
            ""
        };
        let gap = if i + CHANGES == changes.len() && i > CHANGES { " gap" } else { "" };
        let cells = [micros(before / 1e9), micros(after / 1e9), format!("{ratio:.3}")];
        writeln!(rows, "<tr class=\"{class}{gap}\"><td>{}{}</tr>", escape(name), numbers(&cells))?;
    }
    let head = "<tr><th>case<th class=\"n\">before µs<th class=\"n\">after µs<th class=\"n\">ratio</tr>";
    let table = wide(&format!("<table>{head}\n{rows}</table>"));
    let note = "Fastest call of the last run that has a case over that of the one before: the worst and the best. Marked beyond 10%.";
    Ok(section("Changes", note, &table))
}

fn results(last: &history::Run) -> Result<String> {
    let mut rows = String::new();
    for m in &last.cases {
        let limit = m.limit_percent.map_or(String::new(), |percent| format!("{percent:.0}%"));
        let cells = [micros(m.min_ns / 1e9), micros(m.median_ns / 1e9), limit];
        writeln!(rows, "<tr><td>{}{}</tr>", escape(&m.name), numbers(&cells))?;
    }
    let head = "<tr><th>case<th class=\"n\">fastest<th class=\"n\">median<th class=\"n\">of the limit</tr>";
    Ok(wide(&format!("<table>{head}\n{rows}</table>")))
}

fn numbers(cells: &[String]) -> String {
    cells.iter().map(|cell| format!("<td class=\"n\">{cell}")).collect()
}

/// Escapes text for HTML.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use history::tests::{limits, measured, record};

    #[test]
    fn the_page_stands_alone_and_has_every_part() {
        let records = [
            record("1", limits()),
            record("1", measured("batch/lstm/1,2,3,4/f32/1", 100.0)),
            record("2", limits()),
            record("2", measured("batch/lstm/1,2,3,4/f32/1", 150.0)),
        ];
        let peers = Peers::parse(
            "# a machine\nop,T,B,I,H,dtype,threads,peer,ratio\nLSTM,1,2,3,4,f32,1,rnnpack,1\n\
            LSTM,1,2,3,4,f32,1,other<x>,2.5\n",
        )
        .unwrap();
        let page = page(&History::of_last_machine(&records).unwrap(), Some(&peers)).unwrap();
        for part in
            ["<h2>Changes", "1.500", "<h2>Roofline", "<h2>Last run", "<h2>Peers", "a machine", "<h2>Trends"]
        {
            assert!(page.contains(part), "{part}");
        }
        assert_eq!(page.matches("<svg").count(), 3);
        assert!(page.contains("prefers-color-scheme: dark") && page.contains("width=device-width"));
        assert!(page.contains("other&lt;x&gt;") && !page.contains("other<x>"));
        // The page fetches nothing: its only address is the name of SVG's namespace.
        let addresses: Vec<&str> =
            page.split("http").skip(1).filter(|a| !a.contains("www.w3.org/2000/svg")).collect();
        assert!(addresses.is_empty() && !page.contains("src=") && !page.contains("<script"), "{addresses:?}");
    }
}
