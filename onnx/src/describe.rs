//! Describes a recurrent node and decides whether a layer can be built from it.

use crate::error::Error;
use crate::extent::Extent;
use crate::fold::{Folder, NotConstant, NotConstantKind};
use crate::node::{NodeDescription, RecurrentNode};
use crate::operator::RecurrentOp;
use crate::scope::Scope;
use crate::spec::{NodeSpec, Reader, ShapeAttributes};
use crate::stored::dtype_name;
use crate::tensor::DType;
use crate::weight::{INPUTS, Weight};
use crate::weight_checks::check_dtype;
use crate::weights::NodeWeights;
use rnnpack::Layout;

/// The weights of a node that are constants, in the order of [`INPUTS`].
struct Constants([Option<Result<Weight, NotConstant>>; INPUTS.len()]);

impl Constants {
    fn read(reader: &Reader<'_>, scope: &Scope<'_>, folder: &mut Folder<'_>) -> Self {
        let read = |(input, index): (&str, usize)| {
            // An operator without peepholes has no input with this index.
            let known = reader.op.inputs().get(index) == Some(&input);
            let value = reader.input(index).filter(|_| known)?;
            let matrix = reader.op.is_quantized() && matches!(input, "W" | "R");
            Some(if matrix { folder.integers(scope, value) } else { folder.weight(scope, value) })
        };
        Self(INPUTS.map(read))
    }

    fn known(&self) -> [Option<&Weight>; INPUTS.len()] {
        self.0.each_ref().map(|w| w.as_ref()?.as_ref().ok())
    }

    /// I of `W` (0) or H of `R` (1), if it is a constant with three dimensions.
    fn size(&self, i: usize, op: RecurrentOp) -> Option<usize> {
        let weight = self.known()[i]?;
        weight.dims().get(op.summed_axis()).copied().filter(|_| weight.dims().len() == 3)
    }

    /// The bytes in the file of the weights whose names pass `test`.
    fn stored_bytes(&self, test: impl Fn(&str) -> bool) -> usize {
        let known = INPUTS.into_iter().zip(self.known()).filter(|((input, _), _)| test(input));
        known.filter_map(|(_, weight)| Some(weight?.stored.bytes)).sum()
    }

    /// The type in which the file stores the elements of W and R, if it is the same.
    fn matrix_dtype(&self) -> Option<DType> {
        let [w, r, ..] = self.known().map(|weight| Some(weight?.stored.dtype));
        w.filter(|_| w == r)
    }

    /// Whether some weights are not constants here, and none is wrong.
    fn only_not_constant(&self) -> bool {
        let mut errors = self.0.iter().flatten().filter_map(|w| w.as_ref().err()).peekable();
        errors.peek().is_some() && errors.all(|e| e.kind != NotConstantKind::Wrong)
    }

    /// All weights that are present, if all of them are constants.
    fn all(&self, spec: &NodeSpec) -> Result<[Option<&Weight>; INPUTS.len()], Error> {
        for (weight, (input, _)) in self.0.iter().zip(INPUTS) {
            if let Some(Err(e)) = weight {
                return Err(spec.bad_input(input, &e.reason));
            }
        }
        Ok(self.known())
    }
}

/// Whether a layer can be built from a node, and if not, whether only constants are missing.
struct Verdict {
    weights: Result<NodeWeights, Error>,
    awaits_weights: bool,
}

impl Verdict {
    /// The verdict on a node that is refused for any weights.
    fn refused(error: Error) -> Verdict {
        Verdict { weights: Err(error), awaits_weights: false }
    }

    /// The verdict on a node whose attributes were read without error.
    fn on(spec: &NodeSpec, constants: &Constants) -> Verdict {
        let weights = constants.all(spec).and_then(|all| NodeWeights::of(spec, all));
        Verdict { weights, awaits_weights: constants.only_not_constant() }
    }
}

/// Describes the node that `reader` reads.
pub(crate) fn describe(reader: &Reader<'_>, scope: &Scope<'_>, folder: &mut Folder<'_>) -> RecurrentNode {
    let constants = Constants::read(reader, scope, folder);
    let read = reader.settings();
    let settings = read.as_ref().ok().map(|(s, _)| *s);
    let spec = read.and_then(|(settings, attributes)| reader.spec(&settings, &attributes));
    let certain = constants.known()[0].map(Weight::dtype);
    let certain = if reader.op.is_quantized() { Some(DType::F32) } else { certain };
    let certain = certain.or_else(|| type_of(reader, |name| scope.given_type(name)));
    let dtype = certain.or_else(|| type_of(reader, |name| scope.declared_type(name)));
    let verdict = match &spec {
        Ok(spec) => {
            let verdict = Verdict::on(spec, &constants);
            let open = verdict.weights.is_ok() || verdict.awaits_weights;
            let types = if open { check_types(spec, reader, scope, certain) } else { Ok(()) };
            types.map_or_else(Verdict::refused, |()| verdict)
        }
        Err(e) => Verdict::refused(e.clone()),
    };
    let node = reader.node;
    let present = |values: &[String], names: &[&'static str]| {
        names.iter().zip(values).filter(|(_, v)| !v.is_empty()).map(|(&n, _)| n).collect()
    };
    let [time, batch] = sequence_extents(reader, scope, settings);
    let declared = |index| declared_size(reader, scope, index);
    let description = NodeDescription {
        name: reader.name.to_string(),
        op: reader.op,
        graph: scope.path.text(),
        opset: reader.opset,
        direction: settings.map(|s| s.direction),
        layout: settings.map(|s| s.layout),
        cells: spec.map(|spec| spec.cells).unwrap_or_default(),
        dtype,
        input: constants.size(0, reader.op).or_else(|| declared(0)).or_else(|| declared(1)),
        hidden: constants.size(1, reader.op).or(settings.and_then(|s| s.hidden)).or_else(|| declared(2)),
        time,
        batch,
        attributes: node.attribute.iter().map(|a| (a.name.clone(), a.into())).collect(),
        inputs: present(&node.input, reader.op.inputs()),
        outputs: present(&node.output, reader.op.outputs()),
        weight_bytes: constants.stored_bytes(|_| true),
        matrix_bytes: constants.stored_bytes(|input| !matches!(input, "B" | "P")),
        matrix_dtype: constants.matrix_dtype(),
        matrix_types: [0, 1].map(|i| constants.known()[i].and_then(Weight::stored_type)),
        subnormal_weights: match &verdict.weights {
            Ok(weights) => weights.subnormal(),
            Err(_) => constants.known().into_iter().flatten().map(Weight::subnormal).sum(),
        },
        refusal: verdict.weights.as_ref().err().cloned(),
        awaits_weights: verdict.awaits_weights,
    };
    RecurrentNode { description, weights: verdict.weights }
}

/// The element type of W or X that `number` tells.
fn type_of(reader: &Reader<'_>, number: impl Fn(&str) -> Option<i32>) -> Option<DType> {
    let mut numbers = [1, 0].into_iter().filter_map(|i| number(reader.input(i)?));
    numbers.next().and_then(DType::from_number)
}

/// Checks the element types of the model's inputs and of stored tensors. The operator must have `dtype`, and
/// `sequence_lens` must be INT32. Declared types of other values prove nothing: tools that convert a model to half
/// precision leave old ones behind.
fn check_types(
    spec: &NodeSpec,
    reader: &Reader<'_>,
    scope: &Scope<'_>,
    dtype: Option<DType>,
) -> Result<(), Error> {
    dtype.map_or(Ok(()), |dtype| check_dtype(spec, "W", dtype, dtype))?;
    for (index, &input) in reader.op.inputs().iter().enumerate() {
        let expected = match dtype {
            Some(dtype) => reader.op.input_types(input, dtype),
            None if input == "sequence_lens" => vec![DType::I32],
            None => continue,
        };
        let Some(found) = reader.input(index).and_then(|value| scope.given_type(value)) else { continue };
        if !expected.iter().any(|expected| expected.number() == found) {
            let expected: Vec<String> = expected.iter().map(|dtype| dtype_name(dtype.number())).collect();
            let reason = format!("it is {}, not {}", dtype_name(found), expected.join(" or "));
            return Err(reader.bad_input(input, &reason));
        }
    }
    Ok(())
}

/// The size that the file declares for an input with three dimensions: I for X and W, H for R.
fn declared_size(reader: &Reader<'_>, scope: &Scope<'_>, index: usize) -> Option<usize> {
    let axis = if index == 0 { 2 } else { reader.op.summed_axis() };
    let dims = scope.declared(reader.input(index)?)?.shape.as_ref()?.dim.as_slice();
    match dims.get(axis).filter(|_| dims.len() == 3).map(Extent::from) {
        Some(Extent::Fixed(size)) => Some(size),
        _ => None,
    }
}

/// T and B, as the file declares them for X.
fn sequence_extents(
    reader: &Reader<'_>,
    scope: &Scope<'_>,
    settings: Option<ShapeAttributes>,
) -> [Extent; 2] {
    let declared = reader.input(0).and_then(|x| scope.declared(x)).and_then(|t| t.shape.as_ref());
    match (declared.map(|shape| shape.dim.as_slice()), settings.map(|s| s.layout)) {
        (Some([t, b, _]), Some(Layout::TimeMajor)) | (Some([b, t, _]), Some(Layout::BatchMajor)) => {
            [t.into(), b.into()]
        }
        _ => [Extent::Unknown, Extent::Unknown],
    }
}
