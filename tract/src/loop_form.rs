//! What a `Loop` or a `Scan` says, as its analysis and its runs both need it.

use crate::reader::{bad_input, refuse};
use tract_onnx::tract_hir::internal::*;

/// What an input of a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Feed {
    /// The number of the iteration.
    Iteration,
    /// The condition, which is true whenever the body runs.
    Condition,
    /// The carried value with this number.
    Carried(usize),
    /// The iteration's slice of the scanned input with this number.
    Slice(usize),
    /// The node's input with this number, whole.
    Whole(usize),
}

/// How a value is cut into the slices of the iterations, or stacked from them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Along {
    pub(crate) axis: i64,
    /// The last slice belongs to the first iteration.
    pub(crate) reverse: bool,
}

impl Along {
    pub(crate) const FIRST: Along = Along { axis: 0, reverse: false };

    /// The axis in a value of `rank` dimensions, when there is such an axis.
    pub(crate) fn axis(self, rank: usize) -> Option<usize> {
        let axis = if self.axis < 0 { self.axis.checked_add_unsigned(rank as u64)? } else { self.axis };
        usize::try_from(axis).ok().filter(|&axis| axis < rank)
    }
}

/// What a `Loop` or a `Scan` says, except for its body. Inputs and outputs of the node are numbered without
/// those that are left out.
#[derive(Debug)]
pub(crate) struct Form {
    pub(crate) node: String,
    pub(crate) op: &'static str,
    /// The input that bounds the number of iterations.
    pub(crate) trip: Option<usize>,
    /// The input that says whether there is a first iteration.
    pub(crate) condition: Option<usize>,
    /// How many dimensions (of size 1) the number of the iteration and the condition have in the body.
    pub(crate) ranks: [usize; 2],
    /// The inputs that are the first carried values.
    pub(crate) carried: Vec<usize>,
    /// The inputs that are cut into slices.
    pub(crate) sliced: Vec<(usize, Along)>,
    /// The outputs of the body that are stacked; they are its last.
    pub(crate) collected: Vec<Along>,
    /// The names in the body of the carried and the collected values, as they leave it.
    pub(crate) values: Vec<String>,
    /// Which output of the node each of the carried and the collected values is.
    pub(crate) outputs: Vec<Option<usize>>,
}

impl Form {
    pub(crate) fn refuse(&self, reason: impl Into<String>) -> TractError {
        refuse(&self.node, self.op, reason)
    }

    /// Refuses an input, which is called as the standard calls it.
    pub(crate) fn bad_input(&self, input: impl Into<String>, reason: impl Into<String>) -> TractError {
        bad_input(&self.node, input, reason)
    }

    /// The standard's name of the first value of carried value `k`.
    pub(crate) fn carried_input(&self, k: usize) -> String {
        let name = if self.is_loop() { "v_initial" } else { "initial_state" };
        format!("{name}[{k}]")
    }

    /// Whether it is a `Loop`, whose body has the condition as its first output.
    pub(crate) fn is_loop(&self) -> bool {
        self.op == "Loop"
    }

    /// Where the carried values start among the outputs of the body.
    pub(crate) fn first_carried(&self) -> usize {
        usize::from(self.is_loop())
    }

    /// The axis of scanned input `k`, which has `rank` dimensions.
    pub(crate) fn slice_axis(&self, k: usize, rank: usize) -> TractResult<usize> {
        self.sliced[k].1.axis(rank).ok_or_else(|| {
            let reason = format!("it has {rank} dimensions, and no axis {}", self.sliced[k].1.axis);
            self.bad_input(format!("scan_input[{k}]"), reason)
        })
    }

    /// The axis along which collected value `k` is stacked to `rank` dimensions.
    pub(crate) fn stack_axis(&self, k: usize, rank: usize) -> TractResult<usize> {
        let (along, value) = (self.collected[k], &self.values[self.carried.len() + k]);
        along.axis(rank).ok_or_else(|| {
            self.refuse(format!("output `{value}` has {rank} dimensions, and no axis {}", along.axis))
        })
    }
}
