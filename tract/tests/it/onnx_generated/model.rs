//! Builds the file of a drawn model.

use super::case::{Case, Place, Source, Values};
use super::tensors::{number, numbers, of, stored};
use rnnpack::{Activation, Cell, GruCell, Layout, LstmCell};
use rnnpack_dev::onnx::{
    BOOL, Dim, Graph, INT32, Msg, attr_f, attr_floats, attr_g, attr_i, attr_ints, attr_s, attr_strings,
    attr_t, node, tensor_bool, tensor_i64, untyped, value,
};
use rnnpack_onnx::Tensor;

impl Case {
    pub(super) fn model(&self) -> Vec<u8> {
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
}
