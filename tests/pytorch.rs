//! Tests layers and stacks from tensors under PyTorch's names: their results, and the words of their refusals.

use rnnpack::{
    Activation, Cell, Direction, Error, GateOrder, Layer, LayerTensors, LayerWeights, LstmCell, PyTorchError,
    PyTorchTensors, Shape, Stack,
};
use rnnpack_dev::numbers::Numbers;
use std::collections::BTreeMap;

const INPUT: usize = 3;
const HIDDEN: usize = 5;

/// Tensors by name.
type StateDict = BTreeMap<String, Vec<f32>>;

/// The `state_dict` of an `nn.LSTM(3, 5, layers, bias, bidirectional=bidirectional)`, or of another cell.
fn state_dict(cell: &Cell, layers: usize, bidirectional: bool, bias: bool) -> StateDict {
    let mut numbers = Numbers(7);
    let mut dict = StateDict::new();
    let suffixes = if bidirectional { &["", "_reverse"][..] } else { &[""] };
    for layer in 0..layers {
        let input = if layer == 0 { INPUT } else { suffixes.len() * HIDDEN };
        for suffix in suffixes {
            let mut put = |stem: &str, columns: usize| {
                let tensor = numbers.scaled(cell.gates() * HIDDEN * columns, 0.5);
                dict.insert(format!("{stem}_l{layer}{suffix}"), tensor);
            };
            put("weight_ih", input);
            put("weight_hh", HIDDEN);
            if bias {
                put("bias_ih", 1);
                put("bias_hh", 1);
            }
        }
    }
    dict
}

fn stack(cell: Cell, layers: usize, bidirectional: bool, dict: &StateDict) -> Result<Stack, Error> {
    Stack::pytorch(cell, layers, bidirectional, |name| dict.get(name).map(|tensor| &tensor[..]))
}

/// The layers of the same tensors, joined as ONNX's tensors, except that the gates keep PyTorch's order.
fn by_hand(cell: Cell, layers: usize, bidirectional: bool, dict: &StateDict) -> Stack {
    let direction = if bidirectional { Direction::Bidirectional } else { Direction::Forward };
    let suffixes = &["", "_reverse"][..direction.count()];
    let layer = |layer: usize| {
        let get = |stem: &str, suffix: &str| dict.get(&format!("{stem}_l{layer}{suffix}")).cloned();
        let joined = |stems: &[&str]| -> Option<Vec<f32>> {
            let parts = suffixes.iter().flat_map(|suffix| stems.iter().map(move |stem| get(stem, suffix)));
            Some(parts.collect::<Option<Vec<_>>>()?.concat())
        };
        let input = if layer == 0 { INPUT } else { suffixes.len() * HIDDEN };
        let shape = Shape { input, hidden: HIDDEN, direction };
        let (w, r) = (joined(&["weight_ih"]).unwrap(), joined(&["weight_hh"]).unwrap());
        let b = joined(&["bias_ih", "bias_hh"]);
        let tensors = LayerTensors { w: &w, r: &r, b: b.as_deref(), p: None };
        Layer::new(&LayerWeights::new(cell, shape, GateOrder::PyTorch, tensors).unwrap()).unwrap()
    };
    Stack::new((0..layers).map(layer).collect()).unwrap()
}

fn cells() -> [Cell; 4] {
    [Cell::lstm(), Cell::pytorch_gru(), Cell::rnn(Activation::Tanh), Cell::rnn(Activation::Relu)]
}

#[test]
fn a_stack_of_a_state_dict_is_the_stack_of_its_layers() {
    for cell in cells() {
        for (layers, bidirectional, bias) in
            [(1, false, true), (1, true, false), (2, true, true), (3, false, false), (3, true, true)]
        {
            let dict = state_dict(&cell, layers, bidirectional, bias);
            let stacks = [
                stack(cell, layers, bidirectional, &dict).unwrap(),
                by_hand(cell, layers, bidirectional, &dict),
            ];
            let x = Numbers(9).scaled(4 * 2 * INPUT, 2.0);
            let directions = 1 + usize::from(bidirectional);
            let outputs = stacks.map(|stack| {
                let mut y = vec![f32::NAN; 4 * 2 * directions * HIDDEN];
                stack.stream(2).unwrap().forward(&x, &mut y).unwrap();
                y.iter().map(|y| y.to_bits()).collect::<Vec<_>>()
            });
            assert_eq!(outputs[0], outputs[1], "{cell:?}, {layers} layers, {bidirectional}, {bias}");
            assert!(outputs[0].iter().any(|&bits| bits != outputs[0][0]), "the output is constant");
        }
    }
}

fn words(result: Result<Stack, Error>) -> String {
    result.expect_err("a refusal").to_string()
}

/// The error of two bidirectional layers for a `state_dict` that was changed.
fn refused(change: impl Fn(&mut StateDict)) -> String {
    let mut dict = state_dict(&Cell::lstm(), 2, true, true);
    assert!(stack(Cell::lstm(), 2, true, &dict).is_ok());
    change(&mut dict);
    words(stack(Cell::lstm(), 2, true, &dict))
}

#[test]
fn a_missing_tensor_is_refused_by_name() {
    for name in state_dict(&Cell::lstm(), 2, true, true).into_keys() {
        let words = refused(|dict| drop(dict.remove(&name)));
        assert_eq!(words, format!("{name} is missing"));
    }
}

#[test]
fn tensors_of_other_networks_are_refused_by_name() {
    let dict = state_dict(&Cell::lstm(), 2, true, true);
    let of_two = words(stack(Cell::lstm(), 2, false, &dict));
    assert_eq!(of_two, "weight_ih_l0_reverse is there, but the stack is to have one direction");
    assert_eq!(
        words(stack(Cell::lstm(), 1, true, &dict)),
        "weight_ih_l1 is there, but the stack is to have fewer layers"
    );
    assert_eq!(words(stack(Cell::lstm(), 3, true, &dict)), "weight_ih_l2 is missing");
    assert_eq!(words(stack(Cell::lstm(), 0, true, &dict)), "a stack needs at least one layer");
    let projected = refused(|dict| drop(dict.insert("weight_hr_l0".into(), vec![0.0; 10])));
    let expected = "weight_hr_l0 is there, but projections (proj_size) are not computed";
    assert_eq!(projected, expected);
}

#[test]
fn lengths_that_no_size_gives_are_refused_by_name() {
    let with = |name: &str, len: usize| refused(|dict| drop(dict.insert(name.into(), vec![0.5; len])));
    for len in [0, 3, 99, 101, 120] {
        assert_eq!(
            with("weight_hh_l0", len),
            format!("weight_hh_l0 has {len} elements, which fit no [4·H, H]")
        );
    }
    assert_eq!(with("weight_ih_l0", 61), "weight_ih_l0 has 61 elements, which fit no [20, I]");
    // Sizes that disagree with those of the other tensors.
    assert_eq!(with("weight_hh_l0", 64), "weight_ih_l0 has 60 elements, which fit no [16, I]");
    let expected = "weight_ih_l1_reverse has 100 elements where [G·H, I] = [20, 10] calls for 200";
    assert_eq!(with("weight_ih_l1_reverse", 100), expected);
    let expected = "weight_hh_l0_reverse has 64 elements where [G·H, H] = [20, 5] calls for 100";
    assert_eq!(with("weight_hh_l0_reverse", 64), expected);
    assert_eq!(with("bias_hh_l1", 21), "bias_hh_l1 has 21 elements where [G·H] = [20] calls for 20");
}

#[test]
fn weights_that_are_not_finite_are_refused_by_name_and_index() {
    for name in state_dict(&Cell::lstm(), 2, true, true).into_keys() {
        let words = refused(|dict| dict.get_mut(&name).unwrap()[13] = f32::NAN);
        assert_eq!(words, format!("{name}[13] is NaN or infinite"));
    }
}

#[test]
fn one_bias_without_the_other_is_refused() {
    let zeros = [0.0; 100];
    let shape = Shape { input: INPUT, hidden: HIDDEN, direction: Direction::Forward };
    let both = PyTorchTensors {
        weight_ih: &zeros[..60],
        weight_hh: &zeros,
        bias_ih: Some(&zeros[..20]),
        bias_hh: Some(&zeros[..20]),
    };
    let refused = |tensors| LayerWeights::pytorch(Cell::lstm(), shape, &[tensors]).unwrap_err().to_string();
    assert_eq!(refused(PyTorchTensors { bias_ih: None, ..both }), "bias_ih is missing");
    assert_eq!(refused(PyTorchTensors { bias_hh: None, ..both }), "bias_hh is missing");
    let none = PyTorchTensors { bias_ih: None, bias_hh: None, ..both };
    assert!(LayerWeights::pytorch(Cell::lstm(), shape, &[none]).is_ok());
}

/// PyTorch has no such GRU, so its tensors cannot belong to one. A GRU may still use PyTorch's order of gates.
#[test]
fn a_gru_that_resets_before_the_product_is_refused() {
    let dict = state_dict(&Cell::gru(false), 1, false, true);
    let of_stack = stack(Cell::gru(false), 1, false, &dict).unwrap_err();
    let get = |name: &str| &dict[&format!("{name}_l0")][..];
    let tensors = PyTorchTensors {
        weight_ih: get("weight_ih"),
        weight_hh: get("weight_hh"),
        bias_ih: Some(get("bias_ih")),
        bias_hh: Some(get("bias_hh")),
    };
    let shape = Shape { input: INPUT, hidden: HIDDEN, direction: Direction::Forward };
    let of_layer = LayerWeights::pytorch(Cell::gru(false), shape, &[tensors]).unwrap_err();
    for error in [of_stack, of_layer] {
        assert!(matches!(error, Error::PyTorch(PyTorchError::ResetBefore)));
        assert!(error.to_string().contains("`Cell::pytorch_gru()`"), "{error}");
    }
    assert!(LayerWeights::pytorch(Cell::pytorch_gru(), shape, &[tensors]).is_ok());
    let tensors = LayerTensors { w: get("weight_ih"), r: get("weight_hh"), b: None, p: None };
    assert!(LayerWeights::new(Cell::gru(false), shape, GateOrder::PyTorch, tensors).is_ok());
}

#[test]
fn options_that_are_no_usable_numbers_are_refused() {
    let dict = state_dict(&Cell::lstm(), 1, false, true);
    let cell = Cell::Lstm(LstmCell { clip: Some(-1.0), ..LstmCell::default() });
    assert_eq!(words(stack(cell, 1, false, &dict)), "clip is -1, expected a positive number");
}
