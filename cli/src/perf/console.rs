//! Messages on standard error during measurements.

use super::{ledger, machine};
use crate::report::count;
use indicatif::{ProgressBar, ProgressStyle};
use rnnpack_onnx::Line;
use std::path::Path;

/// A progress bar over cases on standard error, with the remaining time. Invisible if that is not a terminal.
pub fn progress(cases: u64) -> ProgressBar {
    let bar = ProgressBar::new(cases);
    if let Ok(style) = ProgressStyle::with_template("{msg:36} [{bar:30}] {pos}/{len}, {eta} left") {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.enable_steady_tick(std::time::Duration::from_millis(500));
    bar
}

/// Warns if other programs keep the machine busy.
pub(crate) fn warn_if_busy() {
    if let Some(cores) = machine::busy_cores().filter(|&cores| cores > machine::BUSY) {
        eprintln!("warning: other programs keep {cores:.1} cores busy; results will be noisy");
    }
}

/// Reports the lines of a ledger that are not records: the first ones by their reasons, and how many there are.
pub(crate) fn report_damage(path: &Path, damaged: &[ledger::Damaged]) {
    const SHOWN: usize = 8;
    for ledger::Damaged { line, reason } in damaged.iter().take(SHOWN) {
        eprintln!("warning: {}, line {line} is skipped: {}", path.display(), Line(reason));
    }
    if !damaged.is_empty() {
        eprintln!(
            "warning: {} of {} skipped; nothing was removed",
            count(damaged.len(), "line"),
            path.display()
        );
    }
}
