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
    sides: Vec<Compared>,
    /// Why tract is left out, if it is.
    tract_left_out: Option<String>,
}

/// One side's results, compared with those of the first.
pub(crate) struct Compared {
    pub(crate) name: &'static str,
    /// The largest difference: absolute for results of scale 1, else relative to their scale.
    pub(crate) difference: f64,
    /// The largest difference that passes.
    pub(crate) bound: f64,
    /// Why a larger difference does not count.
    pub(crate) excuse: Option<String>,
}

impl Compared {
    /// The bound for results in f32.
    pub(crate) fn new(name: &'static str, difference: f64) -> Compared {
        Compared { name, difference, bound: bound(name), excuse: None }
    }

    /// Whether the side agrees, without any excuse.
    pub(crate) fn agrees(&self) -> bool {
        self.difference <= self.bound
    }

    fn text(&self) -> String {
        let [d, bound] = [self.difference, self.bound].map(difference);
        let verdict = if self.agrees() { "agrees" } else { "DISAGREES" };
        match &self.excuse {
            Some(reason) => {
                format!("{} differs: largest difference {d}; it does not count: {reason}\n", self.name)
            }
            None => format!("{} {verdict}: largest difference {d}, bound {bound}\n", self.name),
        }
    }

    fn json(&self) -> Value {
        json!({
            "side": self.name,
            "largest_difference": number(self.difference),
            "bound": self.bound,
            "passes": self.agrees(),
            "does_not_count": self.excuse,
        })
    }
}

impl Agreement {
    pub(crate) fn new(sides: Vec<Compared>, tract_left_out: Option<String>) -> Agreement {
        Agreement { sides, tract_left_out }
    }

    pub(crate) fn holds(&self) -> bool {
        self.sides.iter().all(|side| side.agrees() || side.excuse.is_some())
    }

    pub(crate) fn text(&self) -> String {
        let mut out: String = self.sides.iter().map(Compared::text).collect();
        if let Some(reason) = &self.tract_left_out {
            out += &format!("tract is left out: {reason}\n");
        }
        if !self.holds() {
            out += "FAIL: nothing was timed\n";
        }
        out
    }

    pub(crate) fn json(&self) -> Value {
        let sides: Value = self.sides.iter().map(Compared::json).collect();
        json!({ "sides": sides, "tract_left_out": self.tract_left_out })
    }
}
