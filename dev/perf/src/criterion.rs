//! Imports the results of `cargo bench` into the ledger.

use crate::PLACES;
use anyhow::{Context, Result, bail};
use rnnpack_cli::outcome::Outcome;
use rnnpack_cli::perf::ledger::{self, Entry};
use rnnpack_cli::perf::machine;
use rnnpack_cli::report;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// Append the results that `cargo bench` has just left to the ledger
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The folder of the results
    #[arg(value_name = "FOLDER", default_value = "target/criterion")]
    folder: PathBuf,
    /// The ledger; created if it does not exist
    #[arg(long, value_name = "FILE", default_value = PLACES.ledger)]
    ledger: PathBuf,
}

/// Appends the last result of every benchmark.
pub(crate) fn import(args: &Args, json: bool) -> Result<Outcome> {
    let Args { folder, ledger } = args;
    let mut found = Vec::new();
    collect(folder, &mut found)
        .with_context(|| format!("cannot read {}: run `cargo bench` first", folder.display()))?;
    if found.is_empty() {
        bail!("{} has no results: run `cargo bench` first", folder.display());
    }
    found.sort();
    let entries = found.iter().map(|new| entry(new)).collect::<Result<Vec<Entry>>>()?;
    let origin = machine::origin(machine::isa()?, ledger, &PLACES);
    for entry in &entries {
        ledger::append(ledger, &origin, entry.clone())?;
    }
    let text =
        || format!("{} of criterion into {}\n", report::count(entries.len(), "result"), ledger.display());
    report::emit(json, || json!({ "entries": entries }), text)?;
    Ok(Outcome::Done)
}

/// Finds the folders named `new`. Each holds the last result of one benchmark.
fn collect(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for item in fs::read_dir(folder)? {
        let path = item?.path();
        if path.is_dir() {
            match path.file_name() {
                Some(name) if name == "new" && path.join("benchmark.json").is_file() => found.push(path),
                _ => collect(&path, found)?,
            }
        }
    }
    Ok(())
}

fn entry(new: &Path) -> Result<Entry> {
    let read = |name: &str| -> Result<Value> {
        let path = new.join(name);
        let value =
            fs::read(&path).map_err(anyhow::Error::from).and_then(|b| Ok(serde_json::from_slice(&b)?));
        value.with_context(|| format!("cannot read {}", path.display()))
    };
    let (benchmark, estimates, sample) =
        (read("benchmark.json")?, read("estimates.json")?, read("sample.json")?);
    let numbers = |key: &str| -> Vec<f64> {
        sample[key].as_array().into_iter().flatten().filter_map(Value::as_f64).collect()
    };
    let (iters, times) = (numbers("iters"), numbers("times"));
    let min_ns = iters.iter().zip(&times).map(|(iters, ns)| ns / iters).fold(f64::INFINITY, f64::min);
    let name = benchmark["full_id"].as_str().map(str::to_owned);
    let median = estimates["median"]["point_estimate"].as_f64();
    match (name, median) {
        (Some(name), Some(median_ns)) if min_ns.is_finite() => {
            Ok(Entry::Criterion { name, min_ns, median_ns, calls: iters.iter().sum::<f64>() as u64 })
        }
        _ => bail!("{} is not what criterion 0.8 writes", new.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_results_are_found_and_read() {
        let folder = tempfile::tempdir().unwrap();
        let new = folder.path().join("sequence/forward/1,1,8,8/new");
        fs::create_dir_all(&new).unwrap();
        // The results of a baseline or of an older run, which do not count.
        fs::create_dir_all(folder.path().join("sequence/forward/1,1,8,8/base")).unwrap();
        fs::write(new.join("benchmark.json"), r#"{"full_id":"sequence/forward/1,1,8,8"}"#).unwrap();
        fs::write(new.join("estimates.json"), r#"{"median":{"point_estimate":11.0}}"#).unwrap();
        fs::write(new.join("sample.json"), r#"{"iters":[2.0,4.0],"times":[20.0,48.0]}"#).unwrap();
        let mut found = Vec::new();
        collect(folder.path(), &mut found).unwrap();
        let [new] = &found[..] else { panic!("{found:?}") };
        let name = "sequence/forward/1,1,8,8".to_owned();
        assert_eq!(entry(new).unwrap(), Entry::Criterion { name, min_ns: 10.0, median_ns: 11.0, calls: 6 });
        fs::write(new.join("sample.json"), "{}").unwrap();
        assert!(entry(new).unwrap_err().to_string().contains("criterion"));
    }
}
