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

/// The text in green. Unchanged if standard output is no terminal, or if `NO_COLOR` is set.
pub(crate) fn good(text: &str) -> String {
    Style::new().green().bold().apply_to(text).to_string()
}

/// The text in red, in the same cases.
pub(crate) fn bad(text: &str) -> String {
    Style::new().red().bold().apply_to(text).to_string()
}
