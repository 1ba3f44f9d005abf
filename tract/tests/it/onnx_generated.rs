//! Tests generated models of one recurrent node on tract against the same layer called directly: equal bit for bit.

mod case;
mod direct;
mod model;
mod tensors;

use case::{Case, Source};
use rnnpack_dev::onnx::Numbers;
use rnnpack_dev::onnx::conformance::cases;
use rnnpack_dev::onnx::recorded::{difference, relative};
use rnnpack_dev::onnx::recurrent_nodes;
use rnnpack_onnx::{DType, Error as OnnxError, Tensor};
use rnnpack_tract::{Error, Kernels, Loader, Model};
use tensors::bits;

fn run(model: &Model, feeds: &[(String, Tensor)]) -> Result<Vec<(String, Tensor)>, Error> {
    let feeds: Vec<(&str, &Tensor)> = feeds.iter().map(|(n, t)| (n.as_str(), t)).collect();
    model.run(&feeds)
}

/// The allowed difference from the f64 reference: the layer's precision, plus one rounding to half precision.
fn tolerance(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => 1e-12,
        DType::F32 => 2e-5,
        DType::F16 => 2f64.powi(-10),
        _ => 2f64.powi(-7),
    }
}

#[test]
fn generated_models_equal_the_direct_calls() {
    let mut n = Numbers(7);
    let mut on_tract = [0; 3];
    for round in 0..1500 {
        let case = Case::random(&mut n);
        let bytes = case.model();
        let model =
            Loader::new().threads(1 + round % 3).load(&bytes).unwrap_or_else(|e| panic!("{case:?}: {e}"));
        let wide = Loader::new().kernels(Kernels::Reference64).load(&bytes).unwrap();
        let theirs = Loader::new().kernels(Kernels::Tract).load(&bytes);
        if case.source != Source::Input {
            recurrent_nodes(&bytes).unwrap().iter().for_each(|node| assert!(node.refusal().is_none()));
        }
        for _ in 0..2 {
            let size = case.fixed.unwrap_or([n.below(6), n.below(5)]);
            let feeds = case.feeds(size, &mut n);
            let expected = case.direct(size, &feeds);
            let found = run(&model, &feeds).unwrap_or_else(|e| panic!("{case:?}: {e}"));
            assert_eq!(found.iter().map(|(n, _)| n.as_str()).collect::<Vec<_>>(), case.output_names());
            assert_eq!(found.len(), expected.len());
            for ((name, value), expected) in found.iter().zip(&expected) {
                assert_eq!(
                    (value.dims(), value.dtype()),
                    (expected.dims(), case.dtype),
                    "{name} of {case:?}"
                );
                assert!(bits(value) == bits(expected), "{name} of {case:?}, {size:?}");
            }
            for ((name, value), (_, ours)) in run(&wide, &feeds).unwrap().iter().zip(&found) {
                let found = if case.jumps() { 0.0 } else { relative(ours, value).unwrap() };
                assert!(found < tolerance(case.dtype), "{name} of {case:?}, {size:?} in f64: {found:e}");
            }
            if size.contains(&0) || case.dtype != DType::F32 {
                // tract's own operator returns another shape or another precision.
                continue;
            }
            let Ok(Ok(theirs)) = theirs.as_ref().map(|m| run(m, &feeds)) else { continue };
            on_tract[4 - case.cells[0].gates().max(2)] += 1;
            for ((name, value), (_, ours)) in theirs.iter().zip(&found) {
                let found = relative(ours, value).unwrap();
                assert!(found < 1e-5, "{name} of {case:?}, {size:?} on tract's own operator: {found:e}");
            }
        }
    }
    println!("{on_tract:?} of 3000 calls (LSTM, GRU, RNN) were compared with tract's own operator");
    assert!(on_tract.iter().all(|&count| count >= 20), "{on_tract:?}");
}

#[test]
fn conformance_cases() {
    let cases = cases("");
    assert_eq!(cases.len(), 18);
    for case in &cases {
        let [weights, feeds] = case.weights_and_feeds();
        let all: Vec<(&str, &Tensor)> = weights.iter().chain(&feeds).copied().collect();
        let bound = |kernels| {
            let loader = Loader::new().kernels(kernels);
            weights.iter().fold(loader, |l, (n, t)| l.bind(n, Tensor::clone(t))).load(&case.model)
        };
        for kernels in [Kernels::Rnnpack, Kernels::Reference64] {
            let open = Loader::new().kernels(kernels).load(&case.model);
            for (model, feeds) in [(bound(kernels), &feeds), (open, &all)] {
                let found = model.and_then(|m| m.run(feeds)).unwrap_or_else(|e| panic!("{}: {e}", case.name));
                assert_eq!(found.len(), case.outputs.len());
                for ((name, value), (expected_name, expected)) in found.iter().zip(&case.outputs) {
                    assert_eq!(name, expected_name);
                    let worst = difference(value, expected).unwrap().largest;
                    assert!(worst <= 1e-6, "{} {name} ({kernels:?}): {worst:e}", case.name);
                }
            }
        }
        if case.name.ends_with("reverse") {
            let Err(Error::Onnx(OnnxError::Attribute { attribute, .. })) = bound(Kernels::Tract) else {
                panic!("{}", case.name)
            };
            assert_eq!(attribute, "direction");
        }
    }
}
