//! Checks that the results of the sides agree. They must agree before they are timed.

use crate::report::{difference, number};
use serde_json::{Value, json};

/// The first side.
pub(crate) const OURS: &str = "rnnpack";
/// rnnpack on one thread, if the first side uses more.
pub(crate) const ONE_THREAD: &str = "rnnpack, 1 thread";
pub(crate) const TRACT: &str = "tract";

/// The largest difference between two sides' results that passes. The activations of each side have errors of about
/// 1e-6. A wrong gate, direction or state changes results by 1e-2 or more.
const BOUND: f64 = 1e-4;

/// The bound for `side`. Threads do not change any bit of rnnpack's results.
fn bound(side: &str) -> f64 {
    if side == ONE_THREAD { 0.0 } else { BOUND }
}

/// How the results of the other sides differ from those of the first one.
pub(crate) struct Agreement {
    /// The largest difference of each side: absolute for results of scale 1, else relative to their scale.
    pub(crate) differences: Vec<(&'static str, f64)>,
    /// Why tract is left out, if it is.
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
