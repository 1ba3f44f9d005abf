//! Output: tables, units, JSON and the progress bar.

use crate::terminal;
use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use rnnpack_onnx::Line;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::Write as _;

/// A table of plain text. Each column is aligned to the left or to the right.
#[derive(Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
    right: &'static [bool],
}

impl Table {
    /// An empty table. `right` says for each heading whether its column is aligned to the right.
    pub fn new(headings: &[&str], right: &'static [bool]) -> Table {
        Table { rows: vec![headings.iter().map(|&s| s.to_owned()).collect()], right }
    }

    /// Adds a row. Each cell is a [`Line`].
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells.iter().map(|cell| Line(cell).to_string()).collect());
    }

    /// The text of the table. Each line ends with a line feed. On a terminal, the table fits its width.
    pub fn render(&self) -> String {
        self.within(terminal::width())
    }

    /// The text in lines of at most `width` characters, if the cells are short enough. If the columns do not fit beside
    /// each other, the rest follows below, with the first column again.
    fn within(&self, width: Option<usize>) -> String {
        let columns = self.rows[0].len();
        let widest = |c: usize| self.rows.iter().filter_map(|r| r.get(c)).map(|s| s.chars().count()).max();
        let widths: Vec<usize> = (0..columns).map(|c| widest(c).unwrap_or(0)).collect();
        let mut blocks = vec![vec![0]];
        let mut used = widths[0];
        for (c, cells) in widths.iter().enumerate().skip(1) {
            let needed = GAP + cells;
            let fits = width.is_none_or(|width| used + needed <= width);
            match blocks.last_mut().filter(|block| fits || block.len() == 1) {
                Some(block) => block.push(c),
                None => {
                    blocks.push(vec![0, c]);
                    used = widths[0];
                }
            }
            used += needed;
        }
        let blocks: Vec<String> = blocks.iter().map(|block| self.block(block, &widths)).collect();
        blocks.join("\n")
    }

    /// The lines of some columns.
    fn block(&self, columns: &[usize], widths: &[usize]) -> String {
        let mut out = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for &c in columns {
                let (cell, width) = (row.get(c).map_or("", String::as_str), widths[c]);
                let _ = match self.right.get(c) {
                    Some(true) => write!(line, "{cell:>width$}{:GAP$}", ""),
                    _ => write!(line, "{cell:<width$}{:GAP$}", ""),
                };
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }
}

/// The blanks between two columns.
const GAP: usize = 2;

/// Prints to standard output. A closed pipe is an ordinary error, not a panic.
fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("cannot write to standard output")
}

/// Prints a report as JSON or as text. No control character but the line feed is printed; in JSON they are escaped. On a
/// terminal, the verdict at the start of a line is coloured.
///
/// # Errors
/// If standard output cannot be written.
pub fn emit(json: bool, value: impl FnOnce() -> Value, text: impl FnOnce() -> String) -> Result<()> {
    if json {
        return print(&escaped(&format!("{:#}\n", value())));
    }
    let text = text();
    let lines: Vec<String> =
        text.split('\n').map(|line| terminal::painted(&Line(line).to_string())).collect();
    print(&lines.join("\n"))
}

/// JSON whose texts may have control characters that JSON allows: it escapes only those below 0x20.
fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '\u{7f}'..='\u{9f}' => out += &format!("\\u{:04x}", u32::from(c)),
            c => out.push(c),
        }
    }
    out
}

/// A progress bar over `steps` on standard error. Invisible if that is not a terminal.
pub fn progress(steps: u64) -> ProgressBar {
    let bar = ProgressBar::new(steps);
    if let Ok(style) = ProgressStyle::with_template("{msg:20} [{bar:40}] {percent:>3}% {elapsed}") {
        bar.set_style(style.progress_chars("=> "));
    }
    bar
}

/// Shows on a bar of 1000 steps the share that is done, and what is running.
pub fn show(bar: &ProgressBar, done: f64, what: &'static str) {
    bar.set_message(what);
    bar.set_position((done * 1000.0) as u64);
}

/// Formats a number of bytes in the most readable unit.
pub(crate) fn bytes(n: usize) -> String {
    match n {
        0..1024 => format!("{n} B"),
        1024..1_048_576 => format!("{:.1} KiB", n as f64 / 1024.0),
        _ => format!("{:.1} MiB", n as f64 / 1_048_576.0),
    }
}

/// Formats an error with its causes as one [`Line`]. A cause is left out if the text before already contains it.
pub fn error(error: &anyhow::Error) -> String {
    let mut out = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !out.contains(&cause) {
            let separator = if out.is_empty() { "" } else { ": " };
            out = format!("{out}{separator}{cause}");
        }
    }
    Line(&out).to_string()
}

/// Formats a count with its noun. The plural adds an s.
pub fn count(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

/// A number for JSON. JSON has no infinity and no NaN, so these become strings.
pub(crate) fn number(x: f64) -> Value {
    if x.is_finite() { json!(x) } else { json!(x.to_string()) }
}

/// Formats a magnitude with about three significant digits.
pub(crate) fn magnitude(x: f64) -> String {
    match x {
        0.0 => "0".to_owned(),
        0.001..10.0 => format!("{x:.3}"),
        10.0..10_000.0 => format!("{x:.1}"),
        _ => format!("{x:.2e}"),
    }
}

/// Formats a difference or an error with two significant digits.
pub fn difference(x: f64) -> String {
    if x == 0.0 { "0".to_owned() } else { format!("{x:.1e}") }
}

/// Formats a time in microseconds, with two decimals if it is below 100.
pub fn micros(seconds: f64) -> String {
    let us = seconds * 1e6;
    if us < 100.0 { format!("{us:.2}") } else { format!("{us:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_end_without_blanks() {
        let mut table = Table::new(&["name", "µs"], &[false, true]);
        table.row(vec!["a".into(), "1.5".into()]);
        table.row(vec!["longer".into(), "12.5".into()]);
        assert_eq!(table.render(), "name      µs\na        1.5\nlonger  12.5\n");
    }

    #[test]
    fn a_table_that_is_wider_than_the_terminal_goes_on_below() {
        let mut table = Table::new(&["#", "name", "size", "plan"], &[true, false, true, false]);
        table.row(vec!["0".into(), "lstm".into(), "12".into(), "avx2".into()]);
        let whole = "#  name  size  plan\n0  lstm    12  avx2\n";
        for width in [None, Some(19), Some(80)] {
            assert_eq!(table.within(width), whole, "{width:?}");
        }
        let two = "#  name  size\n0  lstm    12\n\n#  plan\n0  avx2\n";
        for width in 13..19 {
            assert_eq!(table.within(Some(width)), two, "{width}");
        }
        // A column that does not fit stands alone.
        let three = "#  name\n0  lstm\n\n#  size\n0    12\n\n#  plan\n0  avx2\n";
        assert_eq!(table.within(Some(1)), three);
    }

    #[test]
    fn a_cause_that_was_said_is_not_repeated() {
        let e = anyhow::anyhow!("inner").context("outer: inner").context("cannot load");
        assert_eq!(error(&e), "cannot load: outer: inner");
    }

    #[test]
    fn bytes_and_differences_are_short() {
        assert_eq!(
            (bytes(1000), bytes(2048), bytes(3 << 20)),
            ("1000 B".into(), "2.0 KiB".into(), "3.0 MiB".into())
        );
        assert_eq!((difference(0.0), difference(1.234e-6)), ("0".into(), "1.2e-6".into()));
    }
}
