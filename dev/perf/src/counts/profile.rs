//! Reads callgrind's output: instructions by function.

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

/// The instructions of all counted calls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Profile {
    pub(crate) total: u64,
    /// The instructions of each function without those of the functions that it calls. The key has the source file
    /// too: `function [file.rs]`. Kernels are inlined into one function, and the files tell their parts apart.
    pub(crate) functions: BTreeMap<String, u64>,
}

impl Profile {
    /// Reads an output file, in the format of the manual's chapter "Callgrind Format Specification". A line
    /// `fn=(id) name` or `fn=(id)` begins a function. A line `fl=`, `fi=` or `fe=` begins a file; inlined code keeps
    /// its own file. A line `position cost` belongs to the current function and file. The one after a `calls=` line
    /// is an exception: it belongs to the called function.
    pub(crate) fn parse(text: &str) -> Result<Profile> {
        let mut names = Names::default();
        let (mut file, mut name, mut called) = (String::new(), None, false);
        let mut functions: BTreeMap<String, u64> = BTreeMap::new();
        for line in text.lines() {
            let (key, value) = line.split_once('=').unwrap_or(("", line));
            match key {
                "fl" | "fi" | "fe" => file = names.file(value)?,
                "cfi" | "cfl" => drop(names.file(value)?),
                "fn" => name = Some(names.function(value)?),
                "cfn" => drop(names.function(value)?),
                "calls" => called = true,
                "" if line.starts_with(|c: char| c.is_ascii_digit() || "+-*".contains(c)) => {
                    let cost = line.split(' ').nth(1).and_then(|cost| cost.parse::<u64>().ok());
                    let cost = cost.with_context(|| format!("{line:?} has no cost"))?;
                    if !std::mem::take(&mut called) {
                        let Some(name) = &name else { bail!("{line:?} is in no function") };
                        let key = if name == SYSTEM { name.clone() } else { format!("{name} [{file}]") };
                        *functions.entry(key).or_default() += cost;
                    }
                }
                _ => {}
            }
        }
        functions.retain(|_, cost| *cost > 0);
        Ok(Profile { total: functions.values().sum(), functions })
    }

    /// Drops the functions below this part of the total.
    pub(crate) fn listed(mut self, part: f64) -> Profile {
        self.functions.retain(|_, cost| *cost as f64 >= part * self.total as f64);
        self
    }
}

/// The name for all functions of C libraries together. Each processor gets its own memcpy, with its own name.
const SYSTEM: &str = "(system)";

/// Names by their number. The output gives a name in full the first time, and later only its number.
#[derive(Default)]
struct Names<'a> {
    files: HashMap<&'a str, String>,
    functions: HashMap<&'a str, String>,
}

impl<'a> Names<'a> {
    /// The last part of a path.
    fn file(&mut self, value: &'a str) -> Result<String> {
        look_up(&mut self.files, value, |path| path.rsplit('/').next().unwrap_or(path))
    }

    /// The name of a Rust function, or [`SYSTEM`].
    fn function(&mut self, value: &'a str) -> Result<String> {
        look_up(&mut self.functions, value, |name| if name.contains("::") { function(name) } else { SYSTEM })
    }
}

/// The name after `(id)`; without one, the name that `(id)` had before.
fn look_up<'a>(
    names: &mut HashMap<&'a str, String>,
    value: &'a str,
    short: fn(&'a str) -> &'a str,
) -> Result<String> {
    let (id, name) = value.split_once(") ").unwrap_or((value.trim_end_matches(')'), ""));
    if !name.is_empty() {
        names.insert(id, short(name).to_owned());
    }
    names.get(id).cloned().with_context(|| format!("{value:?} names nothing"))
}

/// The name without the compiler's hash at its end, which changes in every build, and without the number that
/// callgrind adds for a recursion.
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

    const OUTPUT: &str = "version: 1\nevents: Ir\npositions: line\n\nfl=(1) x/a.rs\nfn=(1) k::tile::h0123456789abcdef\n\
        10 100\n+1 50\nfi=(2) x/b.rs\n3 7\nfe=(1)\ncfi=(2)\ncfn=(2) k::exp\ncalls=3 7\n12 30\n* 5\n\nfl=(2)\nfn=(2)\n7 30\n\n\
        fl=(1)\nfn=(1)\n-2 1\nfl=(3) m.S\nfn=(3) memcpy\n1 4\ntotals: 197\n";

    #[test]
    fn costs_are_added_to_their_function_and_not_to_its_callers() {
        let profile = Profile::parse(OUTPUT).unwrap();
        assert_eq!(profile.total, 197);
        let expected =
            [("k::tile [a.rs]", 156), ("k::tile [b.rs]", 7), ("k::exp [b.rs]", 30), ("(system)", 4)];
        assert_eq!(profile.functions, expected.map(|(name, n)| (name.to_owned(), n)).into());
        assert_eq!(profile.clone().listed(0.5).functions.len(), 1);
        assert_eq!(profile.listed(0.5).total, 197);
    }

    #[test]
    fn output_that_makes_no_sense_is_refused() {
        assert!(Profile::parse("fn=(3)\n1 2\n").is_err());
        assert!(Profile::parse("1 2\n").is_err());
        assert!(Profile::parse("fn=(1) f\n1 x\n").is_err());
    }
}
