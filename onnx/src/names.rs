//! Makes names unique.

use std::collections::{HashMap, HashSet};

/// Names that are taken, and the numbers that make more of them unique. The time for all names of a file is linear in
/// their number and lengths.
#[derive(Debug, Clone, Default)]
pub struct UniqueNames {
    taken: HashSet<String>,
    /// For each name that was used more than once, the last number appended to it.
    numbers: HashMap<String, usize>,
}

impl UniqueNames {
    /// Marks `name` as taken.
    pub fn take(&mut self, name: String) {
        self.taken.insert(name);
    }

    /// `base`, with a number appended if the name is taken (`lstm#2`). Marks the result as taken.
    pub fn unique(&mut self, base: &str) -> String {
        if !self.taken.contains(base) {
            self.taken.insert(base.to_string());
            return base.to_string();
        }
        let number = match self.numbers.get_mut(base) {
            Some(number) => number,
            None => self.numbers.entry(base.to_string()).or_insert(1),
        };
        loop {
            *number += 1;
            let unique = format!("{base}#{number}");
            if self.taken.insert(unique.clone()) {
                return unique;
            }
        }
    }
}
