//! Checks the element types and the dimensions of weights against each other, the attributes and the operator.

use crate::brief::List;
use crate::error::Error;
use crate::spec::NodeSpec;
use crate::tensor::DType;
use crate::weight::{INPUTS, Weight};
use rnnpack::Shape;

/// Checks the weights of a node, in the order of [`INPUTS`]. Returns the sizes of the layer and the element type of the
/// node.
pub(crate) fn check(spec: &NodeSpec, weights: [Option<&Weight>; 8]) -> Result<(Shape, DType), Error> {
    let [Some(w), Some(r), ..] = weights else { return Err(spec.bad_input("W", "it is missing")) };
    for ((input, _), weight) in INPUTS.into_iter().zip(weights) {
        let Some(weight) = weight else { continue };
        check_type(spec, input, weight.dtype(), w.dtype())?;
        let rank = weight.dims().len();
        let expected: &[usize] = match input {
            "W" | "R" => &[3],
            "B" | "P" => &[2],
            _ => &[1, 2],
        };
        if !expected.contains(&rank) {
            let expected = expected.iter().map(usize::to_string).collect::<Vec<_>>().join(" or ");
            let reason = format!("its dimensions are {}, not {expected}", List(weight.dims()));
            return Err(spec.bad_input(input, &reason));
        }
    }
    let axis = spec.op.summed_axis();
    let (input, hidden) = (w.dims()[axis], r.dims()[axis]);
    if let Some(other) = spec.hidden.filter(|&h| h != hidden) {
        return Err(spec.bad_attribute("hidden_size", &format!("{other}, but R has {hidden}")));
    }
    let expected =
        spec.weight_dims(Some(input), Some(hidden)).map(|dims| dims.into_iter().flatten().collect());
    for (((input, _), weight), expected) in INPUTS.into_iter().zip(weights).zip(expected) {
        let expected: Vec<usize> = expected;
        let Some(weight) = weight else { continue };
        // A scale or a zero point of each direction has no second dimension.
        if weight.dims() != &expected[..weight.dims().len().min(expected.len())] {
            let reason = format!("its dimensions are {}, not {expected:?}", List(weight.dims()));
            return Err(spec.bad_input(input, &reason));
        }
    }
    if hidden == 0 {
        return Err(spec.bad_input("R", "its hidden size is 0"));
    }
    let dtype = if spec.op.is_quantized() { DType::F32 } else { w.dtype() };
    Ok((Shape { input, hidden, direction: spec.direction }, dtype))
}

/// Checks the element type of a weight: the operator must have it, and all that are in the place of W's must be W's.
fn check_type(spec: &NodeSpec, input: &str, found: DType, of_w: DType) -> Result<(), Error> {
    if !spec.op.is_quantized() {
        return check_dtype(spec, input, found, of_w);
    }
    let known = spec.op.input_types(input, DType::F32);
    if !known.contains(&found) {
        return Err(spec.bad_input(input, &wrong_type(spec, found, &known)));
    }
    match found == of_w || !known.contains(&of_w) {
        true => Ok(()),
        false => Err(spec.bad_input(input, &format!("it is {found}, but W is {of_w}"))),
    }
}

/// Checks the element type of a weight of a standard operator: the operator must have it, and it must be the type of W.
pub(crate) fn check_dtype(spec: &NodeSpec, input: &str, found: DType, of_w: DType) -> Result<(), Error> {
    let known = spec.op.dtypes(spec.opset);
    if !known.contains(&found) {
        return Err(spec.bad_input(input, &wrong_type(spec, found, known)));
    }
    match found == of_w {
        true => Ok(()),
        false => Err(spec.bad_input(input, &format!("it is {found}, but W is {of_w}"))),
    }
}

fn wrong_type(spec: &NodeSpec, found: DType, known: &[DType]) -> String {
    let known: Vec<String> = known.iter().map(DType::to_string).collect();
    let (op, opset) = (spec.op, spec.opset);
    format!("it is {found}, where {op} of operator set {opset} has {}", known.join(", "))
}
