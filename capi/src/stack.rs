//! Layers on top of each other.

use crate::lent::{self, Lent};
use crate::{LayerHandle, Status, status};

/// Puts layers on top of each other: the output of each, its directions side by side, is the input of the next. The result is
/// used like a layer: with its own states, in every function that takes a layer, and as a part of other stacks.
///
/// Its x is that of the first layer, its y that of the last. h and c of its states are those of the layers one after the
/// other, from the first on: of L layers of one size [L*D, B, H], as PyTorch's h_n and c_n. c is that of the LSTMs alone.
///
/// layers, count: the layers, from the input on; at least 1. stack: out, NULL where the call fails.
///
/// Fails with RNNPACK_SHAPE where a layer's input size is not D*H of the layer before.
/// Owner: the caller, until rnnpack_layer_free. The layers may be freed before: the weights are shared, not copied.
/// Threads: any number at once, also on one layer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rnnpack_stack_new(
    layers: *const *const LayerHandle,
    count: usize,
    stack: *mut *mut LayerHandle,
) -> Status {
    // SAFETY: by the contract.
    status::run(|| unsafe {
        lent::create(stack, "stack", || {
            let mut all = Vec::new();
            for &layer in Lent::new(layers, count, "layers")?.slice() {
                let layer = lent::handle(layer, "a layer of layers")?;
                all.extend_from_slice(layer.stack.layers());
            }
            Ok(LayerHandle::new(all)?)
        })
    })
}
