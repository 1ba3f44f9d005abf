//! What the builder of a layer makes of its options: the layer of the same tensors, given together.

use rnnpack::{Cell, Direction, GateOrder, Layer, LayerBuilder, LayerTensors, LayerWeights, Shape};

const SIZES: [usize; 2] = [3, 5];

fn numbers(len: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 37 + 11) % 101) as f32 / 50.0 - 1.0).collect()
}

/// The packed bytes of the layer that the options make, and of `LayerWeights::new`.
fn both(
    cell: Cell,
    direction: Direction,
    order: GateOrder,
    options: impl for<'a> Fn(LayerBuilder<'a>) -> LayerBuilder<'a>,
) -> [Vec<u8>; 2] {
    let [input, hidden] = SIZES;
    let rows = cell.gates() * hidden * direction.count();
    let (w, r, b) = (numbers(rows * input), numbers(rows * hidden), numbers(2 * rows));
    let p = cell.has_cell_state().then(|| numbers(3 * hidden * direction.count()));
    let tensors = LayerTensors { w: &w, r: &r, b: Some(&b), p: p.as_deref() };
    let shape = Shape { input, hidden, direction };
    let together = Layer::new(&LayerWeights::new(cell, shape, order, tensors).unwrap()).unwrap();
    let built = match cell {
        Cell::Lstm(_) => LayerWeights::lstm(input, hidden),
        Cell::Gru(_) => LayerWeights::gru(input, hidden),
        Cell::Rnn(_) => LayerWeights::rnn(input, hidden),
    };
    let built = options(built.w(&w).r(&r).b(&b));
    let built = match &p {
        Some(p) => built.p(p),
        None => built,
    };
    [built.pack().unwrap(), together].map(|layer| layer.to_bytes().unwrap())
}

#[test]
fn every_option_is_that_of_the_tensors_given_together() {
    let cells = [Cell::lstm(), Cell::Gru(Default::default()), Cell::Rnn(Default::default())];
    for cell in cells {
        for order in [GateOrder::Onnx, GateOrder::PyTorch] {
            let forward = both(cell, Direction::Forward, order, |built| built.gate_order(order));
            let reverse = both(cell, Direction::Reverse, order, |built| built.gate_order(order).reverse());
            let bidirectional =
                both(cell, Direction::Bidirectional, order, |built| built.bidirectional().gate_order(order));
            for [built, together] in [forward.clone(), reverse, bidirectional] {
                assert!(built == together, "{cell:?}, {order:?}");
            }
            // The order matters, but for one gate.
            let other = both(cell, Direction::Forward, GateOrder::Onnx, |built| built);
            assert_eq!(forward[0] == other[0], order == GateOrder::Onnx || cell.gates() == 1);
        }
    }
}
