//! Tests generated models of one recurrent node on tract against the same layer called directly: equal bit for bit.

use rnnpack::{
    Activation, Cell, Dims, Direction, GateOrder, GruCell, Layer, LayerF64, LayerTensors, LayerWeights,
    Layout, LstmCell, RnnCell, Scratch, ScratchF64, Sequence, Shape, View, ViewMut,
};
use rnnpack_dev::onnx::conformance::cases;
use rnnpack_dev::onnx::recorded::{difference, relative};
use rnnpack_dev::onnx::recurrent_nodes;
use rnnpack_dev::onnx::{
    BOOL, Dim, Graph, INT32, Msg, Numbers, attr_f, attr_floats, attr_g, attr_i, attr_ints, attr_s,
    attr_strings, attr_t, node, tensor_bool, tensor_i64, untyped, value,
};
use rnnpack_onnx::{DType, Error as OnnxError, Tensor, TensorData};
use rnnpack_tract::{Error, Kernels, Loader, Model};

/// Where the weights of a generated node come from.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Source {
    Stored,
    Constant,
    Computed,
    /// Inputs of the model. Their dimensions have names.
    Input,
}

/// Where a generated node is in the model.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Main,
    /// In the taken branch of an `If` with a constant condition. The other branch does not fit its input.
    Taken,
    /// In two nested `If`s.
    Nested,
    /// In an `If` whose condition is an input.
    Choice,
    /// In the body of a `Loop` of two iterations.
    Loop,
    /// In the body of a `Scan` of two steps.
    Scan,
}

/// The W, R, B and P of a generated node, as its element type can hold them.
#[derive(Clone)]
struct Values([Vec<f64>; 4]);

impl std::fmt::Debug for Values {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("_")
    }
}

/// A tensor of this element type. The numbers are rounded to it.
fn of(dtype: DType, dims: &[usize], values: &[f64]) -> Tensor {
    if dtype == DType::F64 {
        return Tensor::new(dims, values.to_vec()).unwrap();
    }
    let single = Tensor::new(dims, values.iter().map(|&v| v as f32).collect()).unwrap();
    single.round_to(dtype).unwrap()
}

/// The numbers of a tensor.
fn numbers(t: &Tensor) -> Vec<f64> {
    match t.data() {
        TensorData::F64(v) => v.clone(),
        _ => t.to_f32().unwrap().as_slice::<f32>().unwrap().iter().map(|&v| v.into()).collect(),
    }
}

fn bits(t: &Tensor) -> Vec<u64> {
    numbers(t).iter().map(|v| v.to_bits()).collect()
}

/// A stored tensor.
fn stored(name: &str, t: &Tensor) -> Msg {
    let bytes: Vec<u8> = match t.data() {
        TensorData::F32(v) => v.iter().flat_map(|v| v.to_le_bytes()).collect(),
        TensorData::F64(v) => v.iter().flat_map(|v| v.to_le_bytes()).collect(),
        TensorData::F16(v) => v.iter().flat_map(|v| v.to_le_bytes()).collect(),
        TensorData::BF16(v) => v.iter().flat_map(|v| v.to_le_bytes()).collect(),
        other => panic!("{:?}", other.dtype()),
    };
    let m = t.dims().iter().fold(Msg::default(), |m, &d| m.int(1, d as i64));
    m.int(2, number(t.dtype())).text(8, name).bytes(9, &bytes)
}

/// The number of an element type in a file.
fn number(dtype: DType) -> i64 {
    match dtype {
        DType::F32 => 1,
        DType::F16 => 10,
        DType::F64 => 11,
        DType::BF16 => 16,
        other => panic!("{other}"),
    }
}

/// A cell with random options for each direction.
fn random_cells(op: &str, directions: usize, n: &mut Numbers) -> Vec<Cell> {
    let plain = n.below(2) == 0;
    let clip = (!plain && n.below(2) == 0).then(|| 0.2 + n.below(30) as f32 / 10.0);
    let flag = !plain && n.below(2) == 0;
    let function = |n: &mut Numbers, default: Activation| {
        const NAMES: [&str; 11] = [
            "Relu",
            "Tanh",
            "Sigmoid",
            "Affine",
            "LeakyRelu",
            "ThresholdedRelu",
            "ScaledTanh",
            "HardSigmoid",
            "Elu",
            "Softsign",
            "Softplus",
        ];
        if plain || n.below(2) == 0 {
            return default;
        }
        let parameter = |n: &mut Numbers| Some(n.below(9) as f32 / 10.0);
        let (alpha, beta) = (parameter(n), parameter(n));
        Activation::by_name(NAMES[n.below(11)]).unwrap().with_parameters(alpha, beta)
    };
    let (sigmoid, tanh) = (Activation::Sigmoid, Activation::Tanh);
    let one = |_| match op {
        "LSTM" => {
            let activations = [sigmoid, tanh, tanh].map(|default| function(n, default));
            Cell::Lstm(LstmCell { activations, clip, input_forget: flag })
        }
        "GRU" => {
            let activations = [sigmoid, tanh].map(|default| function(n, default));
            Cell::Gru(GruCell { activations, clip, linear_before_reset: flag })
        }
        _ => Cell::Rnn(RnnCell { activation: function(n, tanh), clip }),
    };
    (0..directions).map(one).collect()
}

/// A generated model.
#[derive(Clone, Debug)]
struct Case {
    cells: Vec<Cell>,
    dtype: DType,
    direction: Direction,
    layout: Layout,
    shape: [usize; 2],
    bias: bool,
    peepholes: bool,
    hidden_size: bool,
    lens: bool,
    initial: [bool; 2],
    outputs: [bool; 3],
    source: Source,
    place: Place,
    fixed: Option<[usize; 2]>,
    opset: i64,
    weights: Values,
}

impl Case {
    fn random(n: &mut Numbers) -> Case {
        let pick = |n: &mut Numbers| n.below(2) == 1;
        let op = ["LSTM", "GRU", "RNN"][n.below(3)];
        let direction = [Direction::Forward, Direction::Reverse, Direction::Bidirectional][n.below(3)];
        let (i, h, d) = (1 + n.below(9), 1 + n.below(19), direction.count());
        let dtype = [DType::F32, DType::F32, DType::F64, DType::F16, DType::BF16][n.below(5)];
        let opset = if dtype == DType::BF16 { 22 } else { [7, 11, 13, 14, 17, 21][n.below(6)] };
        let layout = if opset >= 14 && pick(n) { Layout::BatchMajor } else { Layout::TimeMajor };
        let is_lstm = op == "LSTM";
        let outputs = if is_lstm { 1 + n.below(7) } else { 1 + n.below(3) };
        let cells = random_cells(op, d, n);
        let g = cells[0].gates();
        let mut floats = |count: usize| {
            // Numbers with more bits than f32 has, if the element type keeps them.
            let fine = n.floats(count);
            let values = n.floats(count).into_iter().zip(fine);
            let values: Vec<f64> =
                values.map(|(v, fine)| 0.6 * f64::from(v) + 1e-9 * f64::from(fine)).collect();
            numbers(&of(dtype, &[count], &values))
        };
        let weights =
            [floats(d * g * h * i), floats(d * g * h * h), floats(d * 2 * g * h), floats(d * 3 * h)];
        let place =
            [Place::Main, Place::Taken, Place::Nested, Place::Choice, Place::Loop, Place::Scan][n.below(6)];
        Case {
            cells,
            dtype,
            direction,
            layout,
            shape: [i, h],
            bias: pick(n),
            peepholes: is_lstm && pick(n),
            hidden_size: pick(n),
            lens: pick(n),
            initial: [pick(n), is_lstm && pick(n)],
            outputs: [outputs & 1 > 0, outputs & 2 > 0, outputs & 4 > 0],
            source: [Source::Stored, Source::Constant, Source::Computed, Source::Input][n.below(4)],
            place: if opset < 9 && place == Place::Scan { Place::Loop } else { place },
            fixed: pick(n).then(|| [1 + n.below(5), 1 + n.below(4)]),
            opset,
            weights: Values(weights),
        }
    }

    /// Whether an activation has a jump, so that single bits of weights and arguments can decide a result.
    fn jumps(&self) -> bool {
        let thresholded = |a: &Activation| matches!(a, Activation::ThresholdedRelu { .. });
        self.cells.iter().any(|cell| cell.activations().iter().any(thresholded))
    }

    /// The weights that are present, with their dimensions.
    fn tensors(&self, sign: f64) -> Vec<(&'static str, Tensor)> {
        let ([i, h], d, g) = (self.shape, self.direction.count(), self.cells[0].gates());
        let [w, r, b, p] = &self.weights.0;
        let w: Vec<f64> = w.iter().map(|v| sign * v).collect();
        let mut all =
            vec![("W", of(self.dtype, &[d, g * h, i], &w)), ("R", of(self.dtype, &[d, g * h, h], r))];
        all.extend(self.bias.then(|| ("B", of(self.dtype, &[d, 2 * g * h], b))));
        all.extend(self.peepholes.then(|| ("P", of(self.dtype, &[d, 3 * h], p))));
        all
    }

    fn state_dims(&self, batch: usize) -> [usize; 3] {
        let (d, h) = (self.direction.count(), self.shape[1]);
        if self.layout == Layout::TimeMajor { [d, batch, h] } else { [batch, d, h] }
    }

    fn x_dims(&self, [time, batch]: [usize; 2]) -> [usize; 3] {
        let i = self.shape[0];
        if self.layout == Layout::TimeMajor { [time, batch, i] } else { [batch, time, i] }
    }

    /// Adds a constant to `graph`, in the way of `self.source`.
    fn constant(&self, graph: &mut Graph, name: &str, t: &Tensor) {
        match self.source {
            Source::Stored => graph.stored.push(stored(name, t)),
            Source::Constant => {
                let t = attr_t("value", &stored("", t));
                graph.nodes.push(node("Constant", "", &[], &[name], &[t]));
            }
            Source::Computed => self.computed(graph, name, t),
            Source::Input => {}
        }
    }

    /// Stores the tensor with its last dimension doubled and with rows and columns exchanged. Gets it back with
    /// `Slice`, `Transpose`, `Unsqueeze`, `Concat`, `Squeeze` and `Reshape`.
    fn computed(&self, graph: &mut Graph, name: &str, t: &Tensor) {
        let (dims, data) = (t.dims(), numbers(t));
        let at = |part: &str| format!("{name}_{part}");
        let columns = *dims.last().unwrap();
        let rows = data.len() / columns;
        let flipped: Vec<f64> =
            (0..2 * data.len()).map(|i| data[i % rows * columns + i / rows % columns]).collect();
        graph.stored.push(stored(&at("flipped"), &of(self.dtype, &[2 * columns, rows], &flipped)));
        let ints = |graph: &mut Graph, part: &str, v: &[i64]| {
            graph.stored.push(tensor_i64(&at(part), &[v.len()], v))
        };
        let n = columns as i64;
        if self.opset >= 10 {
            ints(graph, "start", &[n]);
            ints(graph, "end", &[i64::MAX]);
            ints(graph, "axis", &[0]);
            let inputs = [at("flipped"), at("start"), at("end"), at("axis")];
            let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
            graph.nodes.push(node("Slice", "", &inputs, &[&at("half")], &[]));
        } else {
            let attrs = [attr_ints("starts", &[n]), attr_ints("ends", &[2 * n]), attr_ints("axes", &[0])];
            graph.nodes.push(node("Slice", "", &[&at("flipped")], &[&at("half")], &attrs));
        }
        graph.nodes.push(node(
            "Transpose",
            "",
            &[&at("half")],
            &[&at("straight")],
            &[attr_ints("perm", &[1, 0])],
        ));
        let with_axes = |graph: &mut Graph, op: &str, from: &str, to: &str, axes: &[i64]| {
            if self.opset >= 13 {
                graph.stored.push(tensor_i64(&at(&format!("{to}_axes")), &[axes.len()], axes));
                let axes = at(&format!("{to}_axes"));
                graph.nodes.push(node(op, "", &[&at(from), &axes], &[&at(to)], &[]));
            } else {
                graph.nodes.push(node(op, "", &[&at(from)], &[&at(to)], &[attr_ints("axes", axes)]));
            }
        };
        with_axes(graph, "Unsqueeze", "straight", "wide", &[0]);
        let halves = rows.div_ceil(2) as i64;
        let split = |graph: &mut Graph, part: &str, from: i64, to: i64| {
            if self.opset >= 10 {
                ints(graph, &format!("{part}_start"), &[from]);
                ints(graph, &format!("{part}_end"), &[to]);
                ints(graph, &format!("{part}_axis"), &[1]);
                let names = [
                    at("wide"),
                    at(&format!("{part}_start")),
                    at(&format!("{part}_end")),
                    at(&format!("{part}_axis")),
                ];
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                graph.nodes.push(node("Slice", "", &names, &[&at(part)], &[]));
            } else {
                let attrs = [attr_ints("starts", &[from]), attr_ints("ends", &[to]), attr_ints("axes", &[1])];
                graph.nodes.push(node("Slice", "", &[&at("wide")], &[&at(part)], &attrs));
            }
        };
        split(graph, "low", 0, halves);
        split(graph, "high", halves, rows as i64);
        graph.nodes.push(node(
            "Concat",
            "",
            &[&at("low"), &at("high")],
            &[&at("joined")],
            &[attr_i("axis", 1)],
        ));
        with_axes(graph, "Squeeze", "joined", "flat", &[0]);
        let dims: Vec<i64> = dims.iter().map(|&d| d as i64).collect();
        ints(graph, "shape", &dims);
        graph.nodes.push(node("Reshape", "", &[&at("flat"), &at("shape")], &[name], &[]));
    }

    /// Adds the node with its weights to `graph`. W is multiplied by `sign`.
    fn add_node(&self, graph: &mut Graph, prefix: &str, sign: f64) {
        let at = |part: &str| format!("{prefix}{part}");
        let mut inputs = vec!["X".to_string()];
        let tensors = self.tensors(sign);
        let mut weight = |name: &str| match tensors.iter().find(|(n, _)| *n == name) {
            Some((_, t)) => {
                self.constant(graph, &at(name), t);
                at(name)
            }
            None => String::new(),
        };
        inputs.extend([weight("W"), weight("R"), weight("B")]);
        let p = weight("P");
        for (name, present) in [("lens", self.lens), ("h0", self.initial[0]), ("c0", self.initial[1])] {
            inputs.push(if present { name.to_string() } else { String::new() });
        }
        inputs.push(p);
        while inputs.last().is_some_and(String::is_empty) {
            inputs.pop();
        }
        let names = ["Y", "Y_h", "Y_c"].into_iter().zip(self.outputs);
        let mut outputs: Vec<String> = names.map(|(n, p)| if p { at(n) } else { String::new() }).collect();
        while outputs.last().is_some_and(String::is_empty) {
            outputs.pop();
        }
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let outputs: Vec<&str> = outputs.iter().map(String::as_str).collect();
        graph.nodes.push(node(self.cells[0].op(), "", &inputs, &outputs, &self.attributes()));
        graph.outputs = self.output_names().iter().map(|n| untyped(&at(n))).collect();
    }

    fn attributes(&self) -> Vec<Msg> {
        let mut attrs = vec![attr_s("direction", &self.direction.to_string())];
        if self.hidden_size {
            attrs.push(attr_i("hidden_size", self.shape[1] as i64));
        }
        if self.layout == Layout::BatchMajor {
            attrs.push(attr_i("layout", 1));
        }
        if let Some(clip) = self.cells[0].clip() {
            attrs.push(attr_f("clip", clip));
        }
        match self.cells[0] {
            Cell::Lstm(LstmCell { input_forget: true, .. }) => attrs.push(attr_i("input_forget", 1)),
            Cell::Gru(GruCell { linear_before_reset: true, .. }) => {
                attrs.push(attr_i("linear_before_reset", 1))
            }
            _ => {}
        }
        let functions: Vec<Activation> = self.cells.iter().flat_map(|c| c.activations()).copied().collect();
        let names: Vec<&str> = functions.iter().map(|f| f.name()).collect();
        let (alphas, betas): (Vec<_>, Vec<_>) = functions.iter().map(|f| f.parameters()).unzip();
        attrs.push(attr_strings("activations", &names));
        attrs.push(attr_floats("activation_alpha", &alphas.into_iter().flatten().collect::<Vec<_>>()));
        attrs.push(attr_floats("activation_beta", &betas.into_iter().flatten().collect::<Vec<_>>()));
        attrs
    }

    fn output_names(&self) -> Vec<&'static str> {
        ["Y", "Y_h", "Y_c"].into_iter().zip(self.outputs).filter(|(_, p)| *p).map(|(n, _)| n).collect()
    }

    fn body(&self, prefix: &str, sign: f64) -> Graph {
        let mut graph = Graph::default();
        self.add_node(&mut graph, prefix, sign);
        graph
    }

    /// A branch that fails in tract's analysis or returns other dimensions, because its layer does not fit X.
    fn wrong_body(&self) -> Msg {
        let (d, i, g) = (self.direction.count(), self.shape[0] + 1, self.cells[0].gates());
        let weights = [vec![0.; d * g * i], vec![0.; d * g], vec![0.; d * 2 * g], vec![0.; d * 3]];
        let wrong = Case { shape: [i, 1], weights: Values(weights), source: Source::Stored, ..self.clone() };
        wrong.body("wrong_", 1.).msg()
    }

    /// The prefixes and signs of the nodes that can run.
    fn nodes(&self) -> &'static [(&'static str, f64)] {
        match self.place {
            Place::Main => &[("", 1.)],
            Place::Taken | Place::Loop | Place::Scan => &[("in_", 1.)],
            Place::Nested => &[("in_", 1.), ("other_", 1.)],
            Place::Choice => &[("a_", 1.), ("b_", -1.)],
        }
    }

    fn model(&self) -> Vec<u8> {
        let mut graph = Graph::default();
        let [t, b] = match self.fixed {
            Some([t, b]) => [Dim::N(t), Dim::N(b)],
            None => [Dim::Name("T"), Dim::Name("B")],
        };
        let kind = number(self.dtype);
        let swap = |a: Dim, b: Dim| if self.layout == Layout::TimeMajor { [a, b] } else { [b, a] };
        let i = if self.source == Source::Input { Dim::Name("I") } else { Dim::N(self.shape[0]) };
        graph.inputs.push(value("X", kind, &[&swap(t, b)[..], &[i]].concat()));
        if self.lens {
            graph.inputs.push(value("lens", INT32, &[b]));
        }
        let state = [&swap(Dim::N(self.direction.count()), b)[..], &[Dim::N(self.shape[1])]].concat();
        for (name, _) in ["h0", "c0"].into_iter().zip(self.initial).filter(|(_, p)| *p) {
            graph.inputs.push(value(name, kind, &state));
        }
        if self.source == Source::Input {
            for (prefix, _) in self.nodes() {
                for (name, _) in self.tensors(1.) {
                    let dims: &[Dim] = match name {
                        "W" => &[Dim::Name("D"), Dim::Name("rows"), Dim::Name("columns")],
                        "R" => &[Dim::Name("D"), Dim::Name("rows"), Dim::Name("H")],
                        "B" => &[Dim::Name("D"), Dim::Name("biases")],
                        _ => &[Dim::Name("D"), Dim::Name("peepholes")],
                    };
                    graph.inputs.push(value(&format!("{prefix}{name}"), kind, dims));
                }
            }
        }
        self.place_node(&mut graph);
        graph.outputs = self.output_names().iter().map(|n| untyped(n)).collect();
        graph.model(self.opset)
    }

    fn place_node(&self, graph: &mut Graph) {
        let outputs = self.output_names();
        let branches = |a: Msg, b: Msg| [attr_g("then_branch", &a), attr_g("else_branch", &b)];
        match self.place {
            Place::Main => self.add_node(graph, "", 1.),
            Place::Taken => {
                graph.stored.push(tensor_bool("no", &[], &[false]));
                let attrs = branches(self.wrong_body(), self.body("in_", 1.).msg());
                graph.nodes.push(node("If", "", &["no"], &outputs, &attrs));
            }
            Place::Nested => {
                graph.stored.push(tensor_bool("yes", &[1], &[true]));
                let inner = branches(self.body("in_", 1.).msg(), self.wrong_body());
                let names: Vec<String> = outputs.iter().map(|o| format!("mid_{o}")).collect();
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let mut middle = Graph::default();
                middle.nodes.push(node("If", "same", &["yes"], &names, &inner));
                middle.outputs = names.iter().map(|n| untyped(n)).collect();
                let attrs = branches(middle.msg(), self.body("other_", 1.).msg());
                graph.nodes.push(node("If", "same", &["yes"], &outputs, &attrs));
            }
            Place::Choice => {
                graph.inputs.push(value("cond", BOOL, &[]));
                let attrs = branches(self.body("a_", 1.).msg(), self.body("b_", -1.).msg());
                graph.nodes.push(node("If", "", &["cond"], &outputs, &attrs));
            }
            Place::Loop => {
                graph.stored.push(tensor_i64("two", &[], &[2]));
                let mut body = self.body("in_", 1.);
                body.inputs = ["number", "going"].map(untyped).to_vec();
                body.outputs.insert(0, untyped("going"));
                graph.nodes.push(node("Loop", "", &["two", ""], &outputs, &[attr_g("body", &body.msg())]));
            }
            Place::Scan => {
                graph.stored.push(tensor_i64("two", &[2], &[0, 0]));
                let mut body = self.body("in_", 1.);
                body.inputs = vec![untyped("element")];
                let attrs = [attr_g("body", &body.msg()), attr_i("num_scan_inputs", 1)];
                graph.nodes.push(node("Scan", "", &["two"], &outputs, &attrs));
            }
        }
    }

    /// The inputs of a call.
    fn feeds(&self, [time, batch]: [usize; 2], n: &mut Numbers) -> Vec<(String, Tensor)> {
        let floats = |n: &mut Numbers, dims: [usize; 3]| {
            let values: Vec<f64> = n.floats(dims.iter().product()).into_iter().map(f64::from).collect();
            of(self.dtype, &dims, &values)
        };
        let mut feeds = vec![("X".to_string(), floats(n, self.x_dims([time, batch])))];
        if self.lens {
            let lens: Vec<i32> = (0..batch).map(|_| n.below(time + 1) as i32).collect();
            feeds.push(("lens".to_string(), Tensor::new(&[batch], lens).unwrap()));
        }
        for (name, _) in ["h0", "c0"].into_iter().zip(self.initial).filter(|(_, p)| *p) {
            feeds.push((name.to_string(), floats(n, self.state_dims(batch))));
        }
        if self.place == Place::Choice {
            feeds.push(("cond".to_string(), Tensor::scalar(n.below(2) == 1)));
        }
        if self.source == Source::Input {
            for &(prefix, sign) in self.nodes() {
                feeds.extend(self.tensors(sign).into_iter().map(|(name, t)| (format!("{prefix}{name}"), t)));
            }
        }
        feeds
    }

    /// The outputs of the same layer called directly.
    fn direct(&self, size: [usize; 2], feeds: &[(String, Tensor)]) -> Vec<Tensor> {
        let no = |(name, t): &(String, Tensor)| name == "cond" && t.as_slice() == Some(&[false]);
        let sign = if feeds.iter().any(no) { -1.0 } else { 1.0 };
        let y_dims = self.y_dims(size);
        let dims = [&y_dims[..], &self.state_dims(size[1]), &self.state_dims(size[1])];
        let tensors: Vec<Tensor> = match self.dtype {
            DType::F64 => {
                let all = self.direct_f64(sign, size, feeds);
                all.into_iter().zip(dims).map(|(v, dims)| Tensor::new(dims, v).unwrap()).collect()
            }
            dtype => {
                let all = self.direct_f32(sign, size, feeds);
                let rounded = |(v, dims)| Tensor::new(dims, v).unwrap().round_to(dtype).unwrap();
                all.into_iter().zip(dims).map(rounded).collect()
            }
        };
        let wanted = tensors.into_iter().zip(self.outputs).filter(|(_, p)| *p).map(|(t, _)| t);
        wanted.map(|t| if matches!(self.place, Place::Loop | Place::Scan) { twice(&t) } else { t }).collect()
    }

    fn y_dims(&self, [time, batch]: [usize; 2]) -> [usize; 4] {
        let (d, h) = (self.direction.count(), self.shape[1]);
        if self.layout == Layout::TimeMajor { [time, d, batch, h] } else { [batch, time, d, h] }
    }
}

/// Stacks a tensor on itself.
fn twice(t: &Tensor) -> Tensor {
    let values = numbers(t).repeat(2);
    of(t.dtype(), &[&[2], t.dims()].concat(), &values)
}

/// Declares a function that computes a case with a layer of one precision: Y, Y_h and, for an LSTM, Y_c.
macro_rules! direct {
    ($name:ident, $number:ty, $layer:ident, $scratch:ident) => {
        impl Case {
            fn $name(
                &self,
                sign: f64,
                [time, batch]: [usize; 2],
                feeds: &[(String, Tensor)],
            ) -> Vec<Vec<$number>> {
                let values = |t: &Tensor| numbers(t).into_iter().map(|v| v as $number).collect::<Vec<_>>();
                let get = |name: &str| feeds.iter().find(|(n, _)| n == name).map(|(_, t)| t);
                let weights = self.tensors(sign);
                let weight = |name: &str| weights.iter().find(|(n, _)| *n == name).map(|(_, t)| values(t));
                let (w, r) = (weight("W").unwrap(), weight("R").unwrap());
                let (b, p) = (weight("B"), weight("P"));
                let tensors = LayerTensors { w: &w, r: &r, b: b.as_deref(), p: p.as_deref() };
                let (d, [i, h]) = (self.direction.count(), self.shape);
                let shape = Shape { input: i, hidden: h, direction: self.direction };
                let weights =
                    LayerWeights::per_direction(&self.cells, shape, GateOrder::Onnx, tensors).unwrap();
                let layer = $layer::new(&weights).unwrap();
                let dims = Dims { time, directions: 1, batch, width: i };
                let out = Dims { directions: d, width: h, ..dims };
                let mut state = layer.new_state(batch).unwrap();
                let time_major = self.layout == Layout::TimeMajor;
                if let Some(t) = get("h0") {
                    state.h_mut().copy_from_slice(&outer(&values(t), [batch, d, h], time_major));
                }
                if let Some(t) = get("c0") {
                    state.c_mut().copy_from_slice(&outer(&values(t), [batch, d, h], time_major));
                }
                let mut y = vec![<$number>::NAN; out.checked_len().unwrap()];
                let x = values(get("X").unwrap());
                let sequence = Sequence::views(
                    View::new(&x, dims, self.layout).unwrap(),
                    Some(ViewMut::new(&mut y, out, self.layout).unwrap()),
                );
                let sequence = sequence.optional_lens(get("lens").map(|l| l.as_slice().unwrap()));
                layer.forward(sequence, &mut state, &mut $scratch::new()).unwrap();
                let (h_n, c_n) = (state.h().to_vec(), state.c().to_vec());
                let mut all = vec![y, outer(&h_n, [d, batch, h], time_major)];
                all.extend(
                    (!c_n.is_empty() || h_n.is_empty()).then(|| outer(&c_n, [d, batch, h], time_major)),
                );
                all
            }
        }
    };
}

direct!(direct_f32, f32, Layer, Scratch);
direct!(direct_f64, f64, LayerF64, ScratchF64);

/// Copies `[A, B, H]`. If not `keep`, swaps the axes to `[B, A, H]`.
fn outer<T: Copy>(v: &[T], [a, b, h]: [usize; 3], keep: bool) -> Vec<T> {
    let rows = (0..b).flat_map(|b_| (0..a).map(move |a_| &v[(a_ * b + b_) * h..][..h]));
    if keep { v.to_vec() } else { rows.flatten().copied().collect() }
}

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
