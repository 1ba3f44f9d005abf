//! Builds ONNX `Loop` and `Scan` nodes.
//!
//! tract has no `Loop`. Its `Scan` has no state to return if there are no steps, and it keeps its state from one call
//! to the next.

use crate::loop_form::{Along, Feed, Form};
use crate::loop_infer::Repeated;
use crate::reader::{NodeReader, refuse};
use std::sync::Arc;
use tract_onnx::model::{ParsingContext, optional_inputs, optional_outputs};
use tract_onnx::pb;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::tract_hir::internal::*;

/// Builds the operator of a `Loop` node.
pub(crate) fn build_loop(
    ctx: &ParsingContext<'_>,
    node: &pb::NodeProto,
) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let reader = NodeReader { node, op: "Loop" };
    reader.check_node(ctx, 1, &["body"])?;
    let graph = reader.graph("body")?;
    let carried = node.input.len().saturating_sub(2);
    let mut slots = optional_inputs(node);
    let [trip, condition] = std::array::from_fn(|_| slots.next().flatten());
    let rank = |i: usize| graph.input.get(i).and_then(declared_rank).filter(|&rank| rank == 1).unwrap_or(0);
    let form = Form {
        node: node.name.clone(),
        op: "Loop",
        trip,
        condition,
        ranks: [rank(0), rank(1)],
        carried: slots.take(carried).flatten().collect(),
        sliced: vec![],
        collected: vec![Along::FIRST; graph.output.len().saturating_sub(1 + carried)],
        values: graph.output.iter().skip(1).map(|o| o.name.clone()).collect(),
        outputs: optional_outputs(node).take(graph.output.len().saturating_sub(1)).collect(),
    };
    let formal = [Feed::Iteration, Feed::Condition];
    let feeds = formal.into_iter().chain((0..carried).map(Feed::Carried)).collect();
    finish(ctx, node, graph, form, carried, feeds)
}

/// Builds the operator of a `Scan` node.
pub(crate) fn build_scan(
    ctx: &ParsingContext<'_>,
    node: &pb::NodeProto,
) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    const DIRECTIONS: [&str; 2] = ["scan_input_directions", "scan_output_directions"];
    const AXES: [&str; 2] = ["scan_input_axes", "scan_output_axes"];
    let reader = NodeReader { node, op: "Scan" };
    if ctx.onnx_operator_set_version < 9 {
        return Err(refuse(
            &node.name,
            "Scan",
            "the form of operator set 8, with a batch axis, is not computed",
        ));
    }
    let known = [&["body", "num_scan_inputs"], &AXES[..], &DIRECTIONS[..]].concat();
    reader.check_node(ctx, 9, &known)?;
    let graph = reader.graph("body")?;
    let number = reader.attribute("num_scan_inputs", AttributeType::Int)?.map_or(0, |a| a.i);
    let scanned = usize::try_from(number).ok().filter(|n| (1..=node.input.len()).contains(n));
    let Some(scanned) = scanned else {
        return Err(
            reader.bad_attribute("num_scan_inputs", format!("{number} of {} inputs", node.input.len()))
        );
    };
    let carried = node.input.len() - scanned;
    let collected = graph.output.len().saturating_sub(carried);
    let mut slots = optional_inputs(node);
    let form = Form {
        node: node.name.clone(),
        op: "Scan",
        trip: None,
        condition: None,
        ranks: [0, 0],
        carried: slots.by_ref().take(carried).flatten().collect(),
        sliced: slots.flatten().zip(along(&reader, AXES[0], DIRECTIONS[0], scanned)?).take(scanned).collect(),
        collected: along(&reader, AXES[1], DIRECTIONS[1], collected)?,
        values: graph.output.iter().map(|o| o.name.clone()).collect(),
        outputs: optional_outputs(node).take(graph.output.len()).collect(),
    };
    let feeds = (0..carried).map(Feed::Carried).chain((0..scanned).map(Feed::Slice)).collect();
    finish(ctx, node, graph, form, carried, feeds)
}

/// Checks that the node and the body fit each other, and parses the body. `feeds` are the body's declared inputs.
fn finish(
    ctx: &ParsingContext<'_>,
    node: &pb::NodeProto,
    graph: &pb::GraphProto,
    form: Form,
    carried: usize,
    mut feeds: Vec<Feed>,
) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let wired = node.input.iter().filter(|i| !i.is_empty()).count();
    let taken = [form.trip, form.condition].iter().flatten().count() + form.carried.len() + form.sliced.len();
    if form.carried.len() != carried || taken != wired {
        return Err(form.refuse("an input is left out that has no default"));
    }
    if graph.input.len() != feeds.len() {
        let (found, expected) = (graph.input.len(), feeds.len());
        return Err(form.refuse(format!("its body has {found} inputs, where the node asks for {expected}")));
    }
    let (made, expected) = (graph.output.len(), form.first_carried() + carried);
    if made < expected || node.output.len() > form.values.len() {
        let asked = node.output.len();
        return Err(form.refuse(format!(
            "its body has {made} outputs, where {carried} values are carried and the node has {asked} outputs"
        )));
    }
    let parsed = ctx.parse_graph(graph)?;
    let mut body = parsed.model;
    if body.inputs.len() != feeds.len() + parsed.unresolved_inputs.len() {
        return Err(form.refuse("an input of its body has a stored value"));
    }
    for ix in 0..feeds.len() {
        body.set_input_fact(ix, InferenceFact::default())?;
    }
    feeds.extend((0..parsed.unresolved_inputs.len()).map(|i| Feed::Whole(wired + i)));
    Ok((Box::new(Repeated { form: Arc::new(form), body, feeds }), parsed.unresolved_inputs))
}

/// Reads the axes and directions of `count` values.
fn along(reader: &NodeReader, axes: &str, directions: &str, count: usize) -> TractResult<Vec<Along>> {
    let read = |name: &str| {
        let values = reader.attribute(name, AttributeType::Ints)?.map_or(vec![0; count], |a| a.ints.clone());
        match values.len() == count {
            true => Ok(values),
            false => Err(reader.bad_attribute(name, format!("{} of {count} values", values.len()))),
        }
    };
    let one = |(axis, direction): (i64, i64)| match direction {
        0 | 1 => Ok(Along { axis, reverse: direction == 1 }),
        other => Err(reader.bad_attribute(directions, format!("{other} is no direction"))),
    };
    read(axes)?.into_iter().zip(read(directions)?).map(one).collect()
}

fn declared_rank(info: &pb::ValueInfoProto) -> Option<usize> {
    let pb::type_proto::Value::TensorType(t) = info.r#type.as_ref()?.value.as_ref()?;
    Some(t.shape.as_ref()?.dim.len())
}
