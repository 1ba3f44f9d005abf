//! What a `Loop` or a `Scan` declares. Both its analysis and its runs use it.

use crate::reader::{bad_input, refuse};
use tract_onnx::tract_hir::internal::*;

/// What an input of a body gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Feed {
    /// The number of the iteration.
    Iteration,
    /// The condition. It is true whenever the body runs.
    Condition,
    /// The carried value with this index.
    Carried(usize),
    /// The iteration's slice of the scanned input with this index.
    Slice(usize),
    /// The whole input of the node with this index.
    Whole(usize),
}

/// How a value is cut into slices, one for each iteration, or stacked from them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Along {
    pub(crate) axis: i64,
    /// Whether the first iteration has the last slice.
    pub(crate) reverse: bool,
}

impl Along {
    pub(crate) const FIRST: Along = Along { axis: 0, reverse: false };

    /// The index of the axis in a value of `rank` dimensions, if it has that axis.
    pub(crate) fn axis(self, rank: usize) -> Option<usize> {
        let axis = if self.axis < 0 { self.axis.checked_add_unsigned(rank as u64)? } else { self.axis };
        usize::try_from(axis).ok().filter(|&axis| axis < rank)
    }
}

/// What a `Loop` or a `Scan` declares, without its body. Absent inputs and outputs of the node are not counted in the
/// indices.
#[derive(Debug)]
pub(crate) struct Form {
    pub(crate) node: String,
    pub(crate) op: &'static str,
    /// The input that bounds the number of iterations.
    pub(crate) trip: Option<usize>,
    /// The input that says whether the first iteration runs.
    pub(crate) condition: Option<usize>,
    /// The numbers of dimensions, each of size 1, that the iteration number and the condition have in the body.
    pub(crate) ranks: [usize; 2],
    /// The inputs that are the initial carried values.
    pub(crate) carried: Vec<usize>,
    /// The inputs that are cut into slices.
    pub(crate) sliced: Vec<(usize, Along)>,
    /// The last outputs of the body, which are stacked.
    pub(crate) collected: Vec<Along>,
    /// The names of the body's outputs: the carried values, then the collected values.
    pub(crate) values: Vec<String>,
    /// For each carried and each collected value, the index of the node's output.
    pub(crate) outputs: Vec<Option<usize>>,
}

impl Form {
    pub(crate) fn refuse(&self, reason: impl Into<String>) -> TractError {
        refuse(&self.node, self.op, reason)
    }

    /// The error that refuses an input. `input` is its name in the standard.
    pub(crate) fn bad_input(&self, input: impl Into<String>, reason: impl Into<String>) -> TractError {
        bad_input(&self.node, input, reason)
    }

    /// The name in the standard of the input that starts carried value `k`.
    pub(crate) fn carried_input(&self, k: usize) -> String {
        let name = if self.is_loop() { "v_initial" } else { "initial_state" };
        format!("{name}[{k}]")
    }

    /// Whether the node is a `Loop`. The first output of its body is the condition.
    pub(crate) fn is_loop(&self) -> bool {
        self.op == "Loop"
    }

    /// The index of the first carried value among the outputs of the body.
    pub(crate) fn first_carried(&self) -> usize {
        usize::from(self.is_loop())
    }

    /// The axis along which scanned input `k`, of `rank` dimensions, is cut.
    pub(crate) fn slice_axis(&self, k: usize, rank: usize) -> TractResult<usize> {
        self.sliced[k].1.axis(rank).ok_or_else(|| {
            let reason = format!("it has {rank} dimensions, and no axis {}", self.sliced[k].1.axis);
            self.bad_input(format!("scan_input[{k}]"), reason)
        })
    }

    /// The axis along which collected value `k` is stacked. The result has `rank` dimensions.
    pub(crate) fn stack_axis(&self, k: usize, rank: usize) -> TractResult<usize> {
        let (along, value) = (self.collected[k], &self.values[self.carried.len() + k]);
        along.axis(rank).ok_or_else(|| {
            self.refuse(format!("output `{value}` has {rank} dimensions, and no axis {}", along.axis))
        })
    }
}
