//! Refuses inputs that are too short for a reflection, a convolution or a pool, before tract computes with them.
//!
//! tract counts the positions of a kernel that is longer than its input as if there were some, and reads before the
//! start of an input that is shorter than its reflection. So a node goes before each such node. It passes its first
//! input on, and checks the extents as soon as they are known while the model is loaded.

use crate::prepare;
use crate::reader::refuse;
use rnnpack_onnx::UniqueNames;
use tract_onnx::Onnx;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb;
use tract_onnx::tract_hir::internal::*;

/// The operator of the node that checks. ONNX has no operator with this name.
pub(crate) const FITS: &str = "fits";
/// The attribute that holds the operator of the node behind it.
const OP: &str = "fits of";
/// The attribute that holds the name of that node.
const NODE: &str = "fits before";

/// Registers the operator of the nodes that check.
pub(crate) fn register(onnx: &mut Onnx) {
    onnx.op_register.insert(FITS, build);
}

/// Puts a node that checks before each reflection, convolution and pool of a model whose nodes have unique names.
pub(crate) fn insert(graph: &mut pb::GraphProto) {
    let mut names = UniqueNames::default();
    prepare::collect_names(graph, &mut names);
    insert_in(graph, &mut names);
}

fn insert_in(graph: &mut pb::GraphProto, names: &mut UniqueNames) {
    for mut node in std::mem::take(&mut graph.node) {
        let inner = node.attribute.iter_mut().flat_map(|a| a.g.iter_mut().chain(&mut a.graphs));
        inner.for_each(|g| insert_in(g, names));
        if let Some(check) = check_of(&node, names) {
            node.input[0].clone_from(&check.output[0]);
            graph.node.push(check);
        }
        graph.node.push(node);
    }
}

/// The node that checks the first input of `node`, if that has needs.
fn check_of(node: &pb::NodeProto, names: &mut UniqueNames) -> Option<pb::NodeProto> {
    let reflects = || text(node, "mode").is_some_and(|mode| mode == "reflect");
    // Reflection reads its pads, and a convolution without `kernel_shape` reads its weights.
    let inputs = match node.op_type.as_str() {
        "Pad" if reflects() => 4,
        "Conv" | "ConvInteger" => 2,
        "MaxPool" | "AveragePool" | "LpPool" if int(node, "ceil_mode").unwrap_or(0) == 0 => 1,
        _ => return None,
    };
    if !matches!(node.domain.as_str(), "" | "ai.onnx") || node.input.first().is_none_or(String::is_empty) {
        return None;
    }
    let name = names.unique(&format!("{}.{FITS}", node.name));
    let r#type = pb::attribute_proto::AttributeType::String.into();
    let about = [(OP, &node.op_type), (NODE, &node.name)].map(|(name, text)| pb::AttributeProto {
        name: name.into(),
        r#type,
        s: text.clone().into_bytes(),
        ..Default::default()
    });
    Some(pb::NodeProto {
        op_type: FITS.into(),
        input: node.input.iter().take(inputs).cloned().collect(),
        output: vec![name.clone()],
        name,
        attribute: about.into_iter().chain(node.attribute.iter().cloned()).collect(),
        ..Default::default()
    })
}

fn find<'n>(node: &'n pb::NodeProto, name: &str) -> Option<&'n pb::AttributeProto> {
    node.attribute.iter().find(|a| a.name == name)
}

fn text<'n>(node: &'n pb::NodeProto, name: &str) -> Option<&'n str> {
    find(node, name).and_then(|a| std::str::from_utf8(&a.s).ok())
}

fn int(node: &pb::NodeProto, name: &str) -> Option<i64> {
    find(node, name).map(|a| a.i)
}

fn ints(node: &pb::NodeProto, name: &str) -> Option<Vec<i64>> {
    find(node, name).map(|a| a.ints.clone())
}

/// A node that checks.
#[derive(Debug, Clone)]
struct Fits {
    node: String,
    op: String,
    needs: Needs,
}

/// What the node behind needs of its first input.
#[derive(Debug, Clone)]
enum Needs {
    /// More elements along each axis than the reflection adds at one end. The pads are those of an attribute, or the
    /// second input. `axes` is the index of the input that says to which axes they belong.
    Reflection {
        pads: Option<Vec<i64>>,
        axes: Option<usize>,
    },
    /// With its pads, at least the elements that the kernel spans, along each axis from the third on. The extents of the
    /// kernel are those of an attribute, or of the second input from its third axis on.
    Kernel {
        extents: Option<Vec<i64>>,
        dilations: Option<Vec<i64>>,
        pads: Vec<i64>,
    },
    Nothing,
}

fn build(_: &ParsingContext<'_>, node: &pb::NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let op = text(node, OP).context("a node that is made by the loader")?.to_owned();
    let needs = match (op.as_str(), text(node, "auto_pad")) {
        ("Pad", _) => {
            let axes = node.input.get(3).filter(|name| !name.is_empty());
            // tract leaves absent inputs out.
            let absent = usize::from(node.input.get(2).is_some_and(String::is_empty));
            Needs::Reflection { pads: ints(node, "pads"), axes: axes.map(|_| 3 - absent) }
        }
        // The pads are whatever the kernel needs.
        (_, Some("SAME_UPPER" | "SAME_LOWER")) => Needs::Nothing,
        (_, auto) => {
            let pads = ints(node, "pads").filter(|_| auto != Some("VALID")).unwrap_or_default();
            let (extents, dilations) = (ints(node, "kernel_shape"), ints(node, "dilations"));
            Needs::Kernel { extents, dilations, pads }
        }
    };
    let node = text(node, NODE).context("a node that is made by the loader")?.to_owned();
    Ok((expand(Fits { node, op, needs }), vec![]))
}

impl Fits {
    /// Checks the known extents. `values` has what is known of the inputs' values, `shapes` of their dimensions.
    fn check(&self, shapes: &[TVec<TDim>], values: &[Option<Arc<Tensor>>]) -> TractResult<()> {
        match &self.needs {
            Needs::Reflection { pads, axes } => {
                let read = |slot: usize| -> Option<Vec<i64>> {
                    let tensor = values.get(slot)?.as_ref()?.cast_to::<i64>().ok()?;
                    Some(tensor.try_as_plain_ram().ok()?.as_slice::<i64>().ok()?.to_vec())
                };
                let Some(pads) = pads.clone().or_else(|| read(1)) else { return Ok(()) };
                let all = || (0..shapes[0].len() as i64).collect();
                let Some(axes) = axes.map_or_else(|| Some(all()), read) else { return Ok(()) };
                self.check_reflection(&shapes[0], &pads, &axes)
            }
            Needs::Kernel { extents, dilations, pads } => {
                let stored = || {
                    let weights = shapes.get(1)?.get(2..)?;
                    weights.iter().map(|d| d.to_i64().ok()).collect::<Option<Vec<i64>>>()
                };
                let Some(extents) = extents.clone().or_else(stored) else { return Ok(()) };
                self.check_kernel(&shapes[0], &extents, dilations.as_deref(), pads)
            }
            Needs::Nothing => Ok(()),
        }
    }

    fn check_reflection(&self, shape: &[TDim], pads: &[i64], axes: &[i64]) -> TractResult<()> {
        for (i, &axis) in axes.iter().enumerate() {
            let axis = if axis < 0 { axis + shape.len() as i64 } else { axis };
            let has = usize::try_from(axis).ok().and_then(|axis| shape.get(axis)?.to_i64().ok());
            let Some(has) = has else { continue };
            let ends = [pads.get(i), pads.get(axes.len() + i)];
            let pad = ends.into_iter().flatten().copied().max().unwrap_or(0);
            if pad > 0 && has <= pad {
                let reason = format!(
                    "it reflects {pad} elements at an end of axis {axis}, so it needs at least {} there; its input has {has}",
                    pad + 1
                );
                return Err(refuse(&self.node, &self.op, reason));
            }
        }
        Ok(())
    }

    fn check_kernel(
        &self,
        shape: &[TDim],
        extents: &[i64],
        dilations: Option<&[i64]>,
        pads: &[i64],
    ) -> TractResult<()> {
        for (i, &extent) in extents.iter().enumerate() {
            let Some(has) = shape.get(2 + i).and_then(|d| d.to_i64().ok()) else { continue };
            let dilation = dilations.and_then(|d| d.get(i)).copied().unwrap_or(1);
            let spans = extent.saturating_sub(1).saturating_mul(dilation).saturating_add(1);
            let ends = [pads.get(i), pads.get(extents.len() + i)];
            let padded = ends.into_iter().flatten().fold(has, |sum, &pad| sum.saturating_add(pad));
            // An input without elements has no positions, however long the kernel is.
            if has > 0 && padded < spans {
                let axis = 2 + i;
                let reason = format!(
                    "its kernel spans {spans} elements of axis {axis}; its input has {padded} there, pads included"
                );
                return Err(refuse(&self.node, &self.op, reason));
            }
        }
        Ok(())
    }
}

impl Expansion for Fits {
    fn name(&self) -> StaticName {
        FITS.into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        s.equals(&outputs[0].datum_type, &inputs[0].datum_type)?;
        s.equals(&outputs[0].shape, &inputs[0].shape)?;
        match &self.needs {
            Needs::Reflection { pads: None, axes: None } => {
                s.given_2(&inputs[0].shape, &inputs[1].value, move |_, shape, pads| {
                    self.check(&[shape], &[None, Some(pads)])
                })
            }
            Needs::Reflection { pads: None, axes: Some(axes) } => {
                let (axes, count) = (*axes, inputs.len());
                s.given_3(
                    &inputs[0].shape,
                    &inputs[1].value,
                    &inputs[axes].value,
                    move |_, shape, pads, at| {
                        let mut values = vec![None; count];
                        (values[1], values[axes]) = (Some(pads), Some(at));
                        self.check(&[shape], &values)
                    },
                )
            }
            Needs::Kernel { extents: None, .. } => {
                s.given_2(&inputs[0].shape, &inputs[1].shape, move |_, shape, weights| {
                    self.check(&[shape, weights], &[])
                })
            }
            _ => s.given(&inputs[0].shape, move |_, shape| self.check(&[shape], &[])),
        }
    }

    /// The node disappears: what is not known when the model is loaded is not checked.
    fn wire(&self, _: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let facts = inputs.iter().map(|&i| model.outlet_fact(i)).collect::<TractResult<Vec<_>>>()?;
        let shapes: Vec<TVec<TDim>> = facts.iter().map(|fact| fact.shape.to_tvec()).collect();
        let values: Vec<Option<Arc<Tensor>>> = facts.iter().map(|fact| fact.konst.clone()).collect();
        self.check(&shapes, &values)?;
        Ok(tvec!(inputs[0]))
    }
}
