//! Whether the sides' results agree, which they must before they are timed.

use crate::report::{difference, number};
use serde_json::{Value, json};

/// The first side.
pub(crate) const OURS: &str = "rnnpack";
/// The same on one thread, where the first side has more.
pub(crate) const ONE_THREAD: &str = "rnnpack, 1 thread";
pub(crate) const TRACT: &str = "tract";

/// Largest difference between two sides' results that passes: their activations are good to some 1e-6 each,
/// while a wrong gate, direction or state moves results by 1e-2 and more.
const BOUND: f64 = 1e-4;

/// What `side` may differ by: threads change no bit of rnnpack's results.
fn bound(side: &str) -> f64 {
    if side == ONE_THREAD { 0.0 } else { BOUND }
}

/// How the other sides' results differ from the first one's.
pub(crate) struct Agreement {
    /// Each side's largest difference, of results whose scale is 1 or relative to their scale.
    pub(crate) differences: Vec<(&'static str, f64)>,
    /// Why tract does not take part.
    pub(crate) tract_left_out: Option<String>,
}

impl Agreement {
    pub(crate) fn holds(&self) -> bool {
        self.differences.iter().all(|(name, d)| *d <= bound(name))
    }

    pub(crate) fn text(&self) -> String {
        let mut out = String::new();
        for (name, d) in &self.differences {
            let verdict = if *d <= bound(name) { "agrees" } else { "DISAGREES" };
            let [d, bound] = [*d, bound(name)].map(difference);
            out += &format!("{name} {verdict}: largest difference {d}, bound {bound}\n");
        }
        if let Some(reason) = &self.tract_left_out {
            out += &format!("tract is left out: {reason}\n");
        }
        if !self.holds() {
            out += "nothing was timed\n";
        }
        out
    }

    pub(crate) fn json(&self) -> Value {
        let one = |&(name, d): &(&'static str, f64)| {
            let (bound, passes) = (bound(name), d <= bound(name));
            json!({ "side": name, "largest_difference": number(d), "bound": bound, "passes": passes })
        };
        let sides: Value = self.differences.iter().map(one).collect();
        json!({ "sides": sides, "tract_left_out": self.tract_left_out })
    }
}
