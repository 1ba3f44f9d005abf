//! Functions of single elements that tract computes wrongly for NaN, for large arguments or in half precision.

use half::f16;
use rnnpack::{Activation, Planner, Variant};
use rnnpack_onnx::Error as OnnxError;
use tract_onnx::Onnx;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::element_wise::ElementWiseMiniOp;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::ops::element_wise::ElementWiseOp;

/// A function, with its parameters, or with the instruction set on which our kernels compute it. The names are ONNX's.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Unary {
    Sigmoid(Variant),
    Tanh(Variant),
    Relu,
    Softplus,
    HardSigmoid { alpha: f32, beta: f32 },
    Celu { alpha: f32 },
    Selu { alpha: f32, gamma: f32 },
    Swish { alpha: f32 },
}

pub(super) fn register(onnx: &mut Onnx) {
    for name in ["Sigmoid", "Tanh", "Relu", "Softplus", "HardSigmoid", "Celu", "Selu", "Swish"] {
        onnx.op_register.insert(name, build);
    }
}

fn build(_: &ParsingContext<'_>, node: &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let parameter =
        |name: &str, default: f32| Ok::<f32, TractError>(node.get_attr_opt(name)?.unwrap_or(default));
    // Of the instruction sets that the planner may take, as for the layers.
    let widest = || match Planner::from_env() {
        Ok(planner) => Ok(planner.widest()),
        Err(e) => Err(TractError::new(OnnxError::of_layer(&node.name, e))),
    };
    let function = match node.op_type.as_str() {
        "Sigmoid" => Unary::Sigmoid(widest()?),
        "Tanh" => Unary::Tanh(widest()?),
        "Relu" => Unary::Relu,
        "Softplus" => Unary::Softplus,
        "HardSigmoid" => {
            Unary::HardSigmoid { alpha: parameter("alpha", 0.2)?, beta: parameter("beta", 0.5)? }
        }
        "Celu" => Unary::Celu { alpha: parameter("alpha", 1.0)? },
        "Swish" => Unary::Swish { alpha: parameter("alpha", 1.0)? },
        _ => Unary::Selu {
            // The defaults of the standard, in f32.
            alpha: parameter("alpha", 1.673_263_2)?,
            gamma: parameter("gamma", 1.050_701)?,
        },
    };
    if function == (Unary::Celu { alpha: 0.0 }) {
        let (node, attribute) = (node.name.clone(), "alpha".to_string());
        return Err(TractError::new(OnnxError::Attribute {
            node,
            attribute,
            reason: "it divides, and is 0".into(),
        }));
    }
    Ok((expand(ElementWiseOp(Box::new(function))), vec![]))
}

impl Unary {
    fn of_f64(self, x: f64) -> f64 {
        match self {
            Unary::Sigmoid(_) => 1.0 / (1.0 + (-x).exp()),
            Unary::Tanh(_) => x.tanh(),
            // Neither `max` nor `clamp` may drop a NaN.
            Unary::Relu => {
                if x < 0.0 {
                    0.0
                } else {
                    x
                }
            }
            // log(1 + e^x), with the larger of 0 and x outside.
            Unary::Softplus => {
                if x > 0.0 {
                    x + (-x).exp().ln_1p()
                } else {
                    x.exp().ln_1p()
                }
            }
            Unary::HardSigmoid { alpha, beta } => (f64::from(alpha) * x + f64::from(beta)).clamp(0.0, 1.0),
            Unary::Celu { alpha } => {
                let alpha = f64::from(alpha);
                if x < 0.0 { alpha * (x / alpha).exp_m1() } else { x }
            }
            Unary::Swish { alpha } => x / (1.0 + (-f64::from(alpha) * x).exp()),
            Unary::Selu { alpha, gamma } => {
                let (alpha, gamma) = (f64::from(alpha), f64::from(gamma));
                if x > 0.0 { gamma * x } else { gamma * (alpha * x.exp_m1()) }
            }
        }
    }

    fn of_f32(self, values: &mut [f32]) {
        match self {
            Unary::Sigmoid(variant) => Activation::Sigmoid.eval_slice(variant, values),
            Unary::Tanh(variant) => Activation::Tanh.eval_slice(variant, values),
            Unary::Relu => values.iter_mut().for_each(|x| {
                if *x < 0.0 {
                    *x = 0.0
                }
            }),
            _ => values.iter_mut().for_each(|x| *x = self.of_f64(f64::from(*x)) as f32),
        }
    }
}

impl Eq for Unary {}

impl ElementWiseMiniOp for Unary {
    fn name(&self) -> String {
        format!("{self:?}").split([' ', '(']).next().unwrap_or_default().to_string()
    }

    fn eval_in_place(&self, t: &mut Tensor, _: Option<DatumType>) -> TractResult<()> {
        let dt = t.datum_type();
        let mut plain = t.try_as_plain_ram_mut()?;
        match dt {
            DatumType::F32 => self.of_f32(plain.as_slice_mut::<f32>()?),
            DatumType::F64 => plain.as_slice_mut::<f64>()?.iter_mut().for_each(|x| *x = self.of_f64(*x)),
            DatumType::F16 => {
                let values = plain.as_slice_mut::<f16>()?;
                values.iter_mut().for_each(|x| *x = f16::from_f64(self.of_f64(x.to_f64())));
            }
            // Relu of integers.
            DatumType::I8 => plain.as_slice_mut::<i8>()?.iter_mut().for_each(|x| *x = (*x).max(0)),
            DatumType::I16 => plain.as_slice_mut::<i16>()?.iter_mut().for_each(|x| *x = (*x).max(0)),
            DatumType::I32 => plain.as_slice_mut::<i32>()?.iter_mut().for_each(|x| *x = (*x).max(0)),
            DatumType::I64 => plain.as_slice_mut::<i64>()?.iter_mut().for_each(|x| *x = (*x).max(0)),
            other => bail!("{} of {other:?}", self.name()),
        }
        Ok(())
    }
}
