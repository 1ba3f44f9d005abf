//! This machine: its name, its limits and its load.

use super::ledger::{Bandwidth, Origin};
use super::places::Places;
use crate::median::median;
use anyhow::{Context, Result, bail};
use rnnpack::{Planner, Variant, probe};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

/// How long each limit is measured.
const PROBE: Duration = Duration::from_millis(50);

/// The largest buffer that is read to measure the memory's bandwidth, in bytes.
const LARGEST_BUFFER: usize = 1 << 30;

/// If other programs use more than this share of one core, results are called doubtful.
pub(crate) const BUSY: f64 = 0.1;

/// The origin of a run that starts now. Changes of `ledger` and of the results of `places` do not count as changes of
/// the revision.
pub fn origin(isa: Variant, ledger: &Path, places: &Places) -> Origin {
    let date = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let run = format!("{date}-{}", std::process::id());
    let commit = commit(ledger, places);
    Origin { run, date, commit, cpu: cpu(), isa: isa.name().to_owned() }
}

/// The instruction set that a large layer gets on this machine.
///
/// # Errors
/// If the environment forces an instruction set that is not available.
pub fn isa() -> Result<Variant> {
    let shape = rnnpack::Shape { input: 256, hidden: 256, direction: rnnpack::Direction::Forward };
    Ok(Planner::from_env()?.plan(&rnnpack::Cell::lstm(), shape).variant)
}

/// The revision that is checked out in the current folder. `+` is appended if files differ from it; results do not
/// count. `None` outside of a repository or without git.
fn commit(ledger: &Path, places: &Places) -> Option<String> {
    let head = git(&["rev-parse", "--short=12", "HEAD"]).ok()?;
    let mut sources = vec![":/".to_owned()];
    sources.extend(places.results.iter().map(|results| format!(":(top,exclude){results}")));
    if let Some(name) = ledger.file_name().and_then(|name| name.to_str()) {
        sources.push(format!(":(top,exclude,glob)**/{name}"));
    }
    let mut status = vec!["status", "--porcelain", "--untracked-files=no", "--"];
    status.extend(sources.iter().map(String::as_str));
    let clean = git(&status).is_ok_and(|changes| changes.is_empty());
    Some(if clean { head } else { format!("{head}+") })
}

/// Runs git and returns its output.
///
/// # Errors
/// If git fails. The error has its message.
pub fn git(args: &[&str]) -> Result<String> {
    let mut git = Command::new("git");
    // If this runs in a git hook, these variables are about another work tree.
    git.args(args).env_remove("GIT_DIR").env_remove("GIT_WORK_TREE").env_remove("GIT_INDEX_FILE");
    let out = git.output().context("cannot run git")?;
    if !out.status.success() {
        bail!("git {}: {}", args.join(" "), String::from_utf8_lossy(&out.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&out.stdout).trim().to_owned())
}

/// The processor's name.
pub(crate) fn cpu() -> String {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    if let Some(brand) = raw_cpuid::CpuId::new().get_processor_brand_string() {
        return brand.as_str().trim().to_owned();
    }
    std::env::consts::ARCH.to_owned()
}

/// The name and a buffer size for every cache level and for the memory.
fn levels() -> Vec<(String, usize)> {
    let mut levels: Vec<(String, usize)> = Vec::new();
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    for cache in raw_cpuid::CpuId::new().get_cache_parameters().into_iter().flatten() {
        if cache.cache_type() != raw_cpuid::CacheType::Instruction {
            let bytes = cache.sets() * cache.associativity() * cache.coherency_line_size();
            levels.push((format!("L{}", cache.level()), bytes));
        }
    }
    let largest = levels.last().map_or(64 << 20, |&(_, bytes)| bytes);
    // Half a cache surely fits into it. A shared cache gets less, because other cores use it too.
    for (name, bytes) in &mut levels {
        *bytes = if name == "L3" { *bytes / 8 } else { *bytes / 2 };
    }
    levels.push(("DRAM".to_owned(), 2 * largest));
    levels.retain(|&(_, bytes)| bytes <= LARGEST_BUFFER);
    levels
}

/// The multiply-add peak of one core in flop/s, and the read bandwidth of every level.
pub(crate) fn limits(isa: Variant) -> (f64, Vec<Bandwidth>) {
    let bandwidth = |(level, bytes): (String, usize)| {
        let bytes_per_s = probe::read_bandwidth(isa, bytes, PROBE);
        Bandwidth { level, bytes, bytes_per_s }
    };
    (probe::fma_peak(isa, PROBE), levels().into_iter().map(bandwidth).collect())
}

/// The number of cores that other programs keep busy. Measured over a quarter of a second in which this program sleeps.
/// `None` if the system does not report it.
pub(crate) fn busy_cores() -> Option<f64> {
    let wait = Duration::from_millis(50);
    let busy = |_| {
        let before = ticks()?;
        std::thread::sleep(wait);
        let after = ticks()?;
        // The system may take back time that was waiting for input and output.
        let [busy, all] = [0, 1].map(|i: usize| after.0[i].saturating_sub(before.0[i]));
        (all > 0).then(|| busy as f64 / all as f64 * after.1 as f64)
    };
    // The median ignores a short task of the system.
    let rounds: Option<Vec<f64>> = (0..5).map(busy).collect();
    rounds.map(median)
}

/// The busy ticks and all ticks of all cores since the system started, and the number of cores.
fn ticks() -> Option<([u64; 2], usize)> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = line.split_whitespace().map(|n| n.parse().unwrap_or(0)).collect();
    // user nice system idle iowait irq softirq steal. The time of guests is part of user's.
    let all: u64 = ticks.iter().take(8).sum();
    let idle: u64 = ticks.iter().skip(3).take(2).sum();
    let cores = stat.lines().skip(1).take_while(|line| line.starts_with("cpu")).count();
    Some(([all - idle, all], cores))
}

/// A seed that differs between runs.
pub(crate) fn seed() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    since.as_nanos() as u64 ^ (u64::from(std::process::id()) << 40)
}

/// Whether Ctrl-C was pressed. Then the run ends and keeps its measurements.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// After this call, the first Ctrl-C sets a flag. The second one ends the program at once.
pub(crate) fn catch_interrupts() -> Result<()> {
    Ok(ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        eprintln!("ending after this measurement; again to end at once");
    })?)
}

pub(crate) fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_grow_and_end_with_the_memory_where_it_can_be_measured() {
        let levels = levels();
        assert!(levels.windows(2).all(|pair| pair[0].1 < pair[1].1), "{levels:?}");
        assert!(levels.iter().all(|&(_, bytes)| bytes <= LARGEST_BUFFER));
    }

    #[test]
    fn an_origin_names_the_machine_and_differs_between_runs_of_different_programs() {
        let origin = origin(isa().unwrap(), Path::new("ledger.jsonl"), &Places::COMMAND);
        assert!(!origin.cpu.is_empty());
        assert!(origin.run.starts_with(&origin.date));
    }
}
