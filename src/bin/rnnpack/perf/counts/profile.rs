//! What callgrind writes: instructions by function.

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

/// Instructions of all counted calls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Profile {
    pub(crate) total: u64,
    /// Those of each function itself, without the functions that it calls.
    pub(crate) functions: BTreeMap<String, u64>,
}

impl Profile {
    /// Reads an output file, in the format of the manual's chapter "Callgrind Format Specification": lines `fn=(id) name`
    /// or `fn=(id)` begin a function, `position cost` adds to it, and what follows a `calls=` line is the cost of the
    /// function that is called.
    pub(crate) fn parse(text: &str) -> Result<Profile> {
        let mut names: HashMap<&str, String> = HashMap::new();
        let mut functions: BTreeMap<String, u64> = BTreeMap::new();
        let mut current: Option<String> = None;
        let mut called = false;
        for line in text.lines() {
            if let Some(of) = line.strip_prefix("fn=").or_else(|| line.strip_prefix("cfn=")) {
                let (id, name) = of.split_once(") ").unwrap_or((of.trim_end_matches(')'), ""));
                if !name.is_empty() {
                    names.insert(id, function(name).to_owned());
                }
                if line.starts_with("fn=") {
                    let name = names.get(id).with_context(|| format!("{line:?} names no function"))?;
                    current = Some(name.clone());
                }
            } else if line.starts_with("calls=") {
                called = true;
            } else if line.starts_with(|c: char| c.is_ascii_digit() || c == '+' || c == '-' || c == '*') {
                let cost = line.split(' ').nth(1).and_then(|cost| cost.parse::<u64>().ok());
                let cost = cost.with_context(|| format!("{line:?} has no cost"))?;
                if !std::mem::take(&mut called) {
                    let Some(name) = &current else { bail!("{line:?} is in no function") };
                    *functions.entry(name.clone()).or_default() += cost;
                }
            }
        }
        functions.retain(|_, cost| *cost > 0);
        Ok(Profile { total: functions.values().sum(), functions })
    }

    /// Without the functions below this part of the total.
    pub(crate) fn listed(mut self, part: f64) -> Profile {
        self.functions.retain(|_, cost| *cost as f64 >= part * self.total as f64);
        self
    }
}

/// The name without the hash that the compiler puts behind it, which every build changes, and without the number that
/// callgrind puts behind a recursion.
fn function(name: &str) -> &str {
    let name = name.split_once('\'').filter(|(_, n)| n.parse::<u32>().is_ok()).map_or(name, |(name, _)| name);
    match name.rsplit_once("::h") {
        Some((name, hash)) if hash.len() == 16 && hash.bytes().all(|b| b.is_ascii_hexdigit()) => name,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "version: 1\nevents: Ir\npositions: line\n\nfl=(1) a.rs\nfn=(1) k::tile::h0123456789abcdef\n\
        10 100\n+1 50\ncfn=(2) k::exp\ncalls=3 7\n12 30\n* 5\n\nfn=(2)\nfi=(2) b.rs\n7 30\n\nfn=(1)\n-2 1\ntotals: 186\n";

    #[test]
    fn costs_are_added_to_their_function_and_not_to_its_callers() {
        let profile = Profile::parse(OUTPUT).unwrap();
        assert_eq!(profile.total, 186);
        let expected = BTreeMap::from([("k::tile".to_owned(), 156), ("k::exp".to_owned(), 30)]);
        assert_eq!(profile.functions, expected);
        assert_eq!(profile.clone().listed(0.5).functions.len(), 1);
        assert_eq!(profile.listed(0.5).total, 186);
    }

    #[test]
    fn output_that_makes_no_sense_is_refused() {
        assert!(Profile::parse("fn=(3)\n1 2\n").is_err());
        assert!(Profile::parse("1 2\n").is_err());
        assert!(Profile::parse("fn=(1) f\n1 x\n").is_err());
    }
}
