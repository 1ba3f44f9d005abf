//! `rnnpack inspect`: lists the inputs, the outputs and the recurrent nodes of a model.

mod border;

use crate::cell;
use crate::instructions::{instructions, weights_text};
use crate::outcome::Outcome;
use crate::report::{self, Table, bytes};
use anyhow::{Context, Result};
use border::{Border, extent_json};
use rnnpack::{Layout, WeightType};
use rnnpack_onnx::{DType, RecurrentNode, Shown, nodes_of};
use rnnpack_tract::{Loader, Unsupported};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

const AFTER_HELP: &str = "\
Lists the inputs and outputs of the model, the operators that cannot run, and every LSTM, GRU, RNN and \
DynamicQuantizeLSTM node, including those inside If, Loop and Scan. For each node it shows the element type; T steps, B batch rows, I \
inputs and H hidden units, if the file says them; the bytes of its weights in the file and packed; the type in \
which W and R are packed; the bytes of the state of one stream, and of the scratch memory for one step of it; and the instruction set that it \
runs with on this machine, with its lanes of f32. Behind the type int8 or bf16-dot stands what adds the products: amx, vnni, \
avx512-bf16, or widened (plain multiply-adds); it changes no bit of int8. Layers of f64 run on the products of matrixmultiply, whose scratch memory is not \
counted. The lines below the table show each node's activations, the options that are not the defaults, the bytes that it \
would take packed with other types of weights (--weights of run, verify, bench and pack), and how many weights are \
subnormal, if any.

W and R are packed as bf16 or f16 if that holds all of their elements exactly, as it does if the file has them in half \
precision, also behind a Cast. No bit of a result depends on that. Those of DynamicQuantizeLSTM are packed as int8, as the file has \
them. Else they are packed as f32.

A node whose weights are in the file is packed at load. Other weights are packed when the node runs: those \
that are inputs, and those that the graph computes, such as the weights of a quantized model in the QDQ \
format. If only constants decide such weights, run and verify may know them at load already. If a node is \
refused, the reason is shown.

On a terminal, the table fits its width: columns that do not fit follow below.

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

/// A node, and what becomes of its weights.
struct Line {
    node: RecurrentNode,
    packing: Packing,
}

/// When the weights of a node are packed.
#[derive(Clone)]
enum Packing {
    AtLoad(PackedLayer),
    /// The reason why they are not known before.
    WhenRun(String),
    Refused(String),
}

impl Packing {
    fn new(node: &RecurrentNode) -> Packing {
        match PackedLayer::new(node) {
            Ok(packed) => Packing::AtLoad(packed),
            Err(e) if node.awaits_weights() => Packing::WhenRun(e.to_string()),
            Err(e) => Packing::Refused(e.to_string()),
        }
    }
}

#[derive(Clone)]
struct PackedLayer {
    bytes: usize,
    /// The type of W and R. `None` if they are f64.
    weights: Option<WeightType>,
    /// The bytes with each type of weights that holds them.
    bytes_as: BTreeMap<&'static str, usize>,
    /// The state of one stream.
    state_bytes: usize,
    /// The scratch for one step of one stream. `None` if another crate also allocates some.
    scratch_bytes: Option<usize>,
    /// `None` if the layer runs on the products of another crate.
    isa: Option<&'static str>,
    plan: String,
    /// What adds the products of int8 or of pairs of bf16.
    dots: Option<&'static str>,
    /// Whether the variant adds as all others do, but `portable` without fused multiply-adds.
    fused: bool,
}

impl PackedLayer {
    fn new(node: &RecurrentNode) -> Result<PackedLayer> {
        if node.dtype == Some(DType::F64) {
            let layer = node.pack_f64()?;
            return Ok(PackedLayer {
                bytes: layer.packed_bytes(),
                weights: None,
                bytes_as: BTreeMap::new(),
                state_bytes: layer.new_state(1)?.bytes(),
                scratch_bytes: None,
                isa: None,
                plan: "matrixmultiply".into(),
                dots: None,
                fused: false,
            });
        }
        let layer = node.pack()?;
        let bytes_as = |weights: WeightType| {
            let packed = node.clone().with_type(weights).pack().ok()?;
            Some((weights.name(), packed.packed_bytes()))
        };
        Ok(PackedLayer {
            bytes: layer.packed_bytes(),
            weights: Some(layer.weight_type()),
            bytes_as: WeightType::ALL.into_iter().filter_map(bytes_as).collect(),
            state_bytes: layer.new_state(1)?.bytes(),
            scratch_bytes: Some(layer.scratch_bytes(1, 1)?),
            isa: Some(layer.plan().variant.name()),
            plan: instructions(layer.plan().variant),
            dots: layer.dots(),
            fused: layer.plan().variant.is_fused(),
        })
    }
}

impl PackedLayer {
    /// Whether the layer with weights of this type has the same bits on every instruction set with fused multiply-adds, and
    /// this is one.
    fn equal_bits(&self, weights: WeightType) -> bool {
        self.fused && weights.keeps_contract()
    }

    /// The same for each type that holds the weights.
    fn equal_bits_as(&self) -> BTreeMap<&'static str, bool> {
        let types = WeightType::ALL.into_iter().filter(|weights| self.bytes_as.contains_key(weights.name()));
        types.map(|weights| (weights.name(), self.equal_bits(weights))).collect()
    }
}

pub(crate) fn inspect(args: &Args, json: bool) -> Result<Outcome> {
    let name = args.model.display();
    let bytes = crate::model::read(&args.model)?;
    let read = || -> Result<_> {
        let model = rnnpack_onnx::decode(&bytes)?;
        let nodes = nodes_of(&model, &[])?;
        Ok((Border::of(model.graph()?), nodes, Loader::new().unsupported(&bytes)?))
    };
    let (border, nodes, unsupported) = read().with_context(|| format!("cannot inspect {name}"))?;
    rnnpack::Planner::from_env()?;
    let mut packed = Packed::new();
    let lines: Vec<Line> = nodes.into_iter().map(|node| Line::new(node, &mut packed)).collect();
    let nodes = || lines.iter().map(Line::json).collect::<Value>();
    report::emit(
        json,
        || {
            json!({
                "model": name.to_string(),
                "inputs": border::json(&border.inputs),
                "outputs": border::json(&border.outputs),
                "cannot_run": unsupported.iter().map(unsupported_json).collect::<Value>(),
                "nodes": nodes(),
            })
        },
        || format!("{}{}\n{}", border.text(&name.to_string()), unsupported_text(&unsupported), text(&lines)),
    )?;
    Ok(Outcome::Done)
}

fn unsupported_json(operator: &Unsupported) -> Value {
    let Unsupported { domain, op, count, reason, .. } = operator;
    json!({ "domain": domain, "op": op, "count": count, "reason": reason })
}

/// The operators that cannot run, one a line.
fn unsupported_text(operators: &[Unsupported]) -> String {
    let lines: String = operators.iter().map(|operator| format!("  {operator}\n")).collect();
    if lines.is_empty() { lines } else { format!("\nThese operators cannot run:\n{lines}") }
}

/// What becomes of the weights of nodes that are packed at load, by the weights and all else that it depends on: other
/// weights may not fit into a type. Many nodes may share one large weight; packing it for each would take a time that no
/// file of that size should take.
type Packed = HashMap<String, Packing>;

impl Line {
    fn new(node: RecurrentNode, known: &mut Packed) -> Line {
        let pack = || Packing::new(&node);
        let packing = match node.refusal() {
            Some(_) => pack(),
            None => {
                let key = (node.weight_addresses(), node.weight_type(), node.direction, &node.cells);
                known.entry(format!("{key:?}")).or_insert_with(pack).clone()
            }
        };
        Line { node, packing }
    }

    fn packed(&self) -> Option<&PackedLayer> {
        match &self.packing {
            Packing::AtLoad(packed) => Some(packed),
            _ => None,
        }
    }

    /// What the table says instead of the plan, for a node that is not packed at load.
    fn plan(&self) -> &'static str {
        match self.packing {
            Packing::AtLoad(_) => "packed at load",
            Packing::WhenRun(_) => "packed when the node runs",
            Packing::Refused(_) => "refused",
        }
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
        let packed = self.packed();
        let [awaits, refusal] = match &self.packing {
            Packing::AtLoad(_) => [None, None],
            Packing::WhenRun(reason) => [Some(reason), None],
            Packing::Refused(reason) => [None, Some(reason)],
        };
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
            "subnormal_weights": packed.map(|_| node.subnormal_weights),
            "packed_bytes": packed.map(|p| p.bytes),
            "weights": packed.and_then(|p| p.weights).map(WeightType::name),
            "dots": packed.and_then(|p| p.dots),
            "equal_bits_everywhere": packed.and_then(|p| Some(p.equal_bits(p.weights?))),
            "packed_bytes_as": packed.map(|p| &p.bytes_as),
            "equal_bits_everywhere_as": packed.map(PackedLayer::equal_bits_as),
            "state_bytes": packed.map(|p| p.state_bytes),
            "scratch_bytes": packed.and_then(|p| p.scratch_bytes),
            "isa": packed.and_then(|p| p.isa),
            "plan": packed.map(|p| &p.plan),
            "packing": self.plan(),
            "awaits": awaits,
            "refusal": refusal,
        })
    }
}

/// How many nodes there are, and when they are packed.
fn title(lines: &[Line]) -> String {
    let number = |test: fn(&Packing) -> bool| lines.iter().filter(|line| test(&line.packing)).count();
    let parts = [
        (number(|p| matches!(p, Packing::AtLoad(_))), "packed at load"),
        (number(|p| matches!(p, Packing::WhenRun(_))), "packed when the node runs"),
        (number(|p| matches!(p, Packing::Refused(_))), "refused"),
    ];
    let parts = parts.into_iter().filter(|&(n, _)| n > 0).map(|(n, what)| format!(", {n} {what}"));
    format!(
        "{} (LSTM, GRU, RNN, DynamicQuantizeLSTM){}\n",
        report::count(lines.len(), "recurrent node"),
        parts.collect::<String>()
    )
}

fn text(lines: &[Line]) -> String {
    let title = title(lines);
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
        "as",
        "state",
        "scratch",
        "plan",
    ];
    let right = &[
        true, false, false, true, false, true, true, true, true, true, true, true, false, true, true, false,
    ];
    let mut table = Table::new(&headings, right);
    let known = |n: Option<usize>| n.map_or("?".to_owned(), |n| n.to_string());
    let size = |n: Option<usize>| n.map_or("-".to_owned(), bytes);
    for (i, line) in lines.iter().enumerate() {
        let (node, packed) = (&line.node, line.packed());
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
            size(packed.map(|p| p.bytes)),
            packed.map_or_else(|| "-".to_owned(), |p| weights_text(p.weights, p.dots)),
            size(packed.map(|p| p.state_bytes)),
            size(packed.and_then(|p| p.scratch_bytes)),
            packed.map_or_else(|| line.plan().to_owned(), |p| p.plan.clone()),
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
        if let Some(PackedLayer { bytes_as, .. }) = self.packed()
            && !bytes_as.is_empty()
        {
            let mark = |name: &str| match WeightType::by_name(name) {
                Some(weights) if !weights.keeps_contract() => " (its last bits depend on the CPU)",
                _ => "",
            };
            let all: Vec<String> = bytes_as
                .iter()
                .map(|(name, size)| format!("{name} {}{}", bytes(*size), mark(name)))
                .collect();
            out += &format!("   packed with weights in: {}\n", all.join(", "));
        }
        match &self.packing {
            Packing::AtLoad(_) if node.subnormal_weights > 0 => {
                let weights = report::count(node.subnormal_weights, "subnormal weight");
                out += &format!("   {weights}: they are slow; --subnormals flush-weights makes them zero\n");
            }
            Packing::AtLoad(_) => {}
            Packing::WhenRun(reason) => out += &format!("   packed when the node runs: {reason}\n"),
            Packing::Refused(reason) => out += &format!("   refused: {reason}\n"),
        }
        out
    }
}
