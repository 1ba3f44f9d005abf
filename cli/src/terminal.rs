//! The terminal on standard output: its width and its colours.

use console::{Style, Term};

/// The number of columns in which text must fit: that of `COLUMNS` or of the terminal. `None` if standard output is no
/// terminal.
pub(crate) fn width() -> Option<usize> {
    let terminal = Term::stdout();
    if !terminal.is_term() {
        return None;
    }
    let given = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    given
        .filter(|&columns| columns > 0)
        .or_else(|| terminal.size_checked().map(|(_, columns)| columns.into()))
}

/// A line whose verdict, the word at its start, is green or red. Unchanged if it has none, if standard output is no
/// terminal, or if `NO_COLOR` is set.
pub(crate) fn painted(line: &str) -> String {
    let style = |verdict: &str| match verdict {
        "PASS" => Style::new().green().bold(),
        _ => Style::new().red().bold(),
    };
    let verdict = ["PASS", "FAIL", "NOTHING COMPARED"].into_iter().find(|verdict| {
        let rest = line.strip_prefix(verdict);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
    });
    verdict.map_or_else(
        || line.to_owned(),
        |verdict| format!("{}{}", style(verdict).apply_to(verdict), &line[verdict.len()..]),
    )
}
