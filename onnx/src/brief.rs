//! Formats names and lists of a file for messages, and shortens long ones.

use std::fmt;

/// A name in backquotes, cut after 64 characters so that messages stay short.
pub(crate) struct Name<'a>(pub(crate) &'a str);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(64) {
            Some((end, _)) => write!(f, "`{}…`", &self.0[..end]),
            None => write!(f, "`{}`", self.0),
        }
    }
}

/// A list in brackets, cut after 8 entries so that messages stay short.
pub(crate) struct List<'a, T>(pub(crate) &'a [T]);

impl<T: fmt::Debug> fmt::Display for List<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.split_at_checked(8) {
            Some((first, rest)) if !rest.is_empty() => write!(f, "{first:?} and {} more", rest.len()),
            _ => write!(f, "{:?}", self.0),
        }
    }
}
