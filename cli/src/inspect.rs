//! `rnnpack inspect`: lists the recurrent nodes of a model.

use crate::cell;
use crate::outcome::Outcome;
use crate::report::{self, Table, bytes};
use anyhow::{Context, Result};
use rnnpack::Layout;
use rnnpack_onnx::{DType, Extent, File, RecurrentNode, Shown};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::PathBuf;

const AFTER_HELP: &str = "\
Lists every LSTM, GRU and RNN node, including those inside If, Loop and Scan. For each it shows the element \
type; T steps, B batch rows, I inputs and H hidden units, if the file says them; the bytes of its weights in \
the file and packed, of the state of one stream, and of the scratch memory for one step of it; and the \
instruction set and tile that it runs with on this machine. Layers of f64 run on the products of \
matrixmultiply, whose scratch memory is not counted. The lines below the table show each node's activations \
and the options that are not the defaults. If a node cannot be packed, the reason is shown. If the reason is \
that weights are not constants of the file, run and verify pack them when the model runs.

Examples:
  rnnpack inspect model.onnx
  rnnpack inspect model.onnx --json
  RNNPACK_ISA=avx2 rnnpack inspect model.onnx";

/// List the recurrent nodes of a model and how they are computed here
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// The ONNX model
    model: PathBuf,
}

/// A node and the result of packing it.
struct Line {
    node: RecurrentNode,
    packed: Result<PackedLayer, String>,
}

#[derive(Clone)]
struct PackedLayer {
    bytes: usize,
    /// The state of one stream.
    state_bytes: usize,
    /// The scratch for one step of one stream. `None` if another crate also allocates some.
    scratch_bytes: Option<usize>,
    /// `None` if the layer runs on the products of another crate.
    isa: Option<&'static str>,
    plan: String,
}

impl PackedLayer {
    fn new(node: &RecurrentNode) -> Result<PackedLayer> {
        if node.dtype == Some(DType::F64) {
            let layer = node.pack_f64()?;
            return Ok(PackedLayer {
                bytes: layer.packed_bytes(),
                state_bytes: layer.new_state(1)?.bytes(),
                scratch_bytes: None,
                isa: None,
                plan: "matrixmultiply".into(),
            });
        }
        let layer = node.pack()?;
        Ok(PackedLayer {
            bytes: layer.packed_bytes(),
            state_bytes: layer.new_state(1)?.bytes(),
            scratch_bytes: Some(layer.scratch_bytes(1, 1)?),
            isa: Some(layer.plan().variant.name()),
            plan: layer.plan().to_string(),
        })
    }
}

pub(crate) fn inspect(args: &Args, json: bool) -> Result<Outcome> {
    let name = args.model.display();
    let file = crate::model::read(&args.model)?;
    let file = File::parse(&file).with_context(|| format!("cannot inspect {name}"))?;
    rnnpack::Planner::from_env()?;
    let mut packed = Packed::new();
    let lines: Vec<Line> = file.into_nodes().into_iter().map(|node| Line::new(node, &mut packed)).collect();
    let nodes = || lines.iter().map(Line::json).collect::<Value>();
    report::emit(
        json,
        || json!({ "model": name.to_string(), "nodes": nodes() }),
        || text(&name.to_string(), &lines),
    )?;
    Ok(Outcome::Done)
}

/// The layers that were packed, by all that their sizes depend on. Many nodes may share one large weight; packing it for
/// each would take a time that no file of that size should take.
type Packed = HashMap<String, Result<PackedLayer, String>>;

impl Line {
    fn new(node: RecurrentNode, known: &mut Packed) -> Line {
        let pack = || PackedLayer::new(&node).map_err(|e| e.to_string());
        let packed = match node.refusal() {
            Some(_) => pack(),
            None => {
                let sizes = (node.dtype, node.direction, node.input, node.hidden, &node.cells);
                known.entry(format!("{sizes:?}")).or_insert_with(pack).clone()
            }
        };
        Line { node, packed }
    }

    fn layout(&self) -> Option<u8> {
        self.node.layout.map(|layout| u8::from(layout == Layout::BatchMajor))
    }

    /// The attributes as `name=value`.
    fn attributes(&self) -> Vec<String> {
        self.node.attributes.iter().map(|(name, value)| format!("{}={value}", Shown(name))).collect()
    }

    fn json(&self) -> Value {
        let node = &self.node;
        let packed = self.packed.as_ref().ok();
        let attributes = node.attributes.iter().map(|(n, v)| (n.clone(), json!(v.to_string())));
        json!({
            "graph": &*node.graph,
            "name": node.name,
            "op": node.op.to_string(),
            "dtype": node.dtype.map(|t| t.to_string()),
            "cells": node.cells.iter().map(cell::json).collect::<Value>(),
            "opset": node.opset,
            "direction": node.direction.map(|d| d.to_string()),
            "layout": self.layout(),
            "time": extent_json(&node.time),
            "batch": extent_json(&node.batch),
            "input": node.input,
            "hidden": node.hidden,
            "attributes": attributes.collect::<serde_json::Map<_, _>>(),
            "inputs": node.inputs,
            "outputs": node.outputs,
            "weight_bytes": node.weight_bytes,
            "packed_bytes": packed.map(|p| p.bytes),
            "state_bytes": packed.map(|p| p.state_bytes),
            "scratch_bytes": packed.and_then(|p| p.scratch_bytes),
            "isa": packed.and_then(|p| p.isa),
            "plan": packed.map(|p| &p.plan),
            "refusal": self.packed.as_ref().err(),
        })
    }
}

/// A dimension as JSON: a number, its name, or null.
fn extent_json(extent: &Extent) -> Value {
    match extent {
        Extent::Fixed(n) => json!(n),
        Extent::Named(name) => json!(name),
        Extent::Unknown => Value::Null,
    }
}

fn text(model: &str, lines: &[Line]) -> String {
    let ours = lines.iter().filter(|l| l.packed.is_ok()).count();
    let nodes = report::count(lines.len(), "recurrent node");
    let title = format!("{model}: {nodes} (LSTM, GRU, RNN), {ours} on rnnpack's kernels\n");
    if lines.is_empty() {
        return title;
    }
    let headings = [
        "#",
        "op",
        "type",
        "opset",
        "direction",
        "layout",
        "T",
        "B",
        "I",
        "H",
        "weights",
        "packed",
        "state",
        "scratch",
        "plan",
    ];
    let right =
        &[true, false, false, true, false, true, true, true, true, true, true, true, true, true, false];
    let mut table = Table::new(&headings, right);
    let known = |n: Option<usize>| n.map_or("?".to_owned(), |n| n.to_string());
    let size = |n: Option<usize>| n.map_or("-".to_owned(), bytes);
    for (i, line) in lines.iter().enumerate() {
        let Line { node, packed } = line;
        table.row(vec![
            i.to_string(),
            node.op.to_string(),
            node.dtype.map_or("?".to_owned(), |t| t.to_string()),
            node.opset.to_string(),
            node.direction.map_or("?".to_owned(), |d| d.to_string()),
            line.layout().map_or("?".to_owned(), |l| l.to_string()),
            node.time.to_string(),
            node.batch.to_string(),
            known(node.input),
            known(node.hidden),
            bytes(node.weight_bytes),
            size(packed.as_ref().ok().map(|p| p.bytes)),
            size(packed.as_ref().ok().map(|p| p.state_bytes)),
            size(packed.as_ref().ok().and_then(|p| p.scratch_bytes)),
            packed.as_ref().map_or("refused".to_owned(), |p| p.plan.clone()),
        ]);
    }
    let details: String = lines.iter().enumerate().map(|(i, line)| line.details(i)).collect();
    format!("{title}\n{}\n{details}", table.render())
}

impl Line {
    /// The lines for a node below the table.
    fn details(&self, index: usize) -> String {
        let node = &self.node;
        let mut out = format!("{index}  {} in {}\n", Shown(&node.name), node.graph);
        if !node.attributes.is_empty() {
            out += &format!("   attributes: {}\n", self.attributes().join(", "));
        }
        out += &format!("   inputs: {}; outputs: {}\n", node.inputs.join(", "), node.outputs.join(", "));
        match node.cells.as_slice() {
            [] => {}
            [first, rest @ ..] if rest.iter().all(|cell| cell == first) => {
                out += &format!("   computes: {}\n", cell::text(first));
            }
            cells => {
                let all: Vec<String> = cells.iter().map(cell::text).collect();
                out += &format!("   computes: {}\n", all.join(" | "));
            }
        }
        if let Err(reason) = &self.packed {
            out += &format!("   refused: {reason}\n");
        }
        out
    }
}
