//! Shows names and lists of a file in messages: on one line, without control characters, and short.

use std::fmt::{self, Write};

/// A text of a file, such as a name, as messages and tables show it: on one line, without control characters, and with
/// at most [`Shown::LONGEST`] characters of the text. A longer text ends with `…`. Characters that would move the
/// cursor, start a command of the terminal or change the direction of the text are shown as Rust escapes them.
///
/// ```
/// use rnnpack_onnx::Shown;
/// assert_eq!(Shown("lstm\u{1b}[2J\n").to_string(), r"lstm\u{1b}[2J\n");
/// assert_eq!(Shown(&"n".repeat(200)).to_string(), "n".repeat(Shown::LONGEST) + "…");
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a>(pub &'a str);

impl Shown<'_> {
    /// The most characters of a text that are shown.
    pub const LONGEST: usize = 128;
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        escape(self.0, Shown::LONGEST, f)
    }
}

/// A whole message as one line without control characters, cut after [`Line::LONGEST`] characters. Whoever puts a
/// message on a terminal uses it last.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a>(pub &'a str);

impl Line<'_> {
    /// The most characters of a message that are shown.
    pub const LONGEST: usize = 4096;
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        escape(self.0, Line::LONGEST, f)
    }
}

/// Writes at most `longest` characters of `text`. Control characters and marks of direction are escaped.
fn escape(text: &str, longest: usize, to: &mut impl Write) -> fmt::Result {
    let end = text.char_indices().nth(longest).map_or(text.len(), |(end, _)| end);
    for part in text[..end].split_inclusive(must_be_escaped) {
        match part.chars().next_back().filter(|&c| must_be_escaped(c)) {
            Some(last) => write!(to, "{}{}", &part[..part.len() - last.len_utf8()], last.escape_default())?,
            None => to.write_str(part)?,
        }
    }
    if end < text.len() { to.write_str("…") } else { Ok(()) }
}

/// Control characters, separators of lines, and marks that change the direction of the text after them.
fn must_be_escaped(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A [`Shown`] name in backquotes.
pub(crate) struct Name<'a>(pub(crate) &'a str);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", Shown(self.0))
    }
}

/// A list in brackets, cut after 8 entries.
pub(crate) struct List<'a, T>(pub(crate) &'a [T]);

impl<T: fmt::Debug> fmt::Display for List<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.split_at_checked(8) {
            Some((first, rest)) if !rest.is_empty() => write!(f, "{first:?} and {} more", rest.len()),
            _ => write!(f, "{:?}", self.0),
        }
    }
}

/// Names without quotes and separated by commas, each [`Shown`], cut after 8. `none` if there are none.
///
/// ```
/// let names = ["a", "b\n"];
/// assert_eq!(rnnpack_onnx::ShownNames(&names).to_string(), r"a, b\n");
/// ```
#[derive(Debug, Clone, Copy)]
pub struct ShownNames<'a, S>(pub &'a [S]);

impl<S: AsRef<str>> fmt::Display for ShownNames<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 8;
        for (i, name) in self.0.iter().take(MOST).enumerate() {
            write!(f, "{}{}", if i == 0 { "" } else { ", " }, Shown(name.as_ref()))?;
        }
        match self.0.len().saturating_sub(MOST) {
            0 if self.0.is_empty() => f.write_str("none"),
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_is_shown_and_letters_are() {
        let obeyed = "\u{0}\u{7}\t\r\n\u{1b}\u{7f}\u{9b}\u{61c}\u{200e}\u{2028}\u{202e}\u{2066}";
        assert!(!Shown(obeyed).to_string().contains(must_be_escaped));
        for (text, shown) in [
            ("a\u{1b}[31mb", r"a\u{1b}[31mb"),
            ("\n\n", r"\n\n"),
            ("/encoder/lstm_1:0 \"é\" \\ 日本 e\u{301}", "/encoder/lstm_1:0 \"é\" \\ 日本 e\u{301}"),
        ] {
            assert_eq!(Shown(text).to_string(), shown);
        }
    }

    #[test]
    fn a_text_is_cut_by_characters() {
        let long = "é".repeat(Shown::LONGEST);
        assert_eq!(Shown(&long).to_string(), long);
        assert_eq!(Shown(&(long.clone() + "x")).to_string(), long + "…");
        assert_eq!(Line(&"\n".repeat(5000)).to_string(), "\\n".repeat(Line::LONGEST) + "…");
    }

    #[test]
    fn lists_are_cut_after_eight() {
        assert_eq!(ShownNames(&["a"; 8]).to_string(), "a, a, a, a, a, a, a, a");
        assert_eq!(ShownNames(&["a"; 10]).to_string(), "a, a, a, a, a, a, a, a and 2 more");
        assert_eq!(List(&[1; 9]).to_string(), "[1, 1, 1, 1, 1, 1, 1, 1] and 1 more");
    }
}
