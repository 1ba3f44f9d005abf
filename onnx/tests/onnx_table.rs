//! Tests the importer against the tables of `docs/onnx.md`: nodes listed as computed are packed, nodes listed as
//! refused are refused by name, and the tables miss nothing of the standard.

use rnnpack::{Activation, Cell, Layout};
use rnnpack_dev::onnx::recurrent_nodes;
use rnnpack_dev::onnx::{
    BFLOAT16, DOUBLE, Dim, FLOAT, FLOAT16, Graph, INT32, INT64, Msg, attr_f, attr_floats, attr_i, attr_s,
    attr_strings, node, raw, untyped, value,
};
use rnnpack_onnx::{Error, Extent, RecurrentNode};
use std::collections::HashMap;
use std::ops::RangeInclusive;

const PAGE: &str = include_str!("../../docs/onnx.md");
const OPSETS: RangeInclusive<i64> = 1..=28;
/// The operators, each with its number of gates.
const OPERATORS: [(&str, usize); 3] = [("LSTM", 4), ("GRU", 3), ("RNN", 1)];
const NODE: &str = "the node";
/// Input and hidden size.
const I: usize = 3;
const H: usize = 2;

/// A table of the page: the names of its columns, and its rows.
struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// The table below this heading.
    fn below(heading: &str) -> Table {
        let section = PAGE.split("\n## ").find(|s| s.lines().next() == Some(heading));
        let section = section.unwrap_or_else(|| panic!("no section `{heading}`")).replace("\\|", "¦");
        let lines = section.lines().filter(|line| line.starts_with('|') && !line.starts_with("|--"));
        let cells = |line: &str| line.trim_matches('|').split('|').map(|c| c.trim().to_string()).collect();
        let mut rows = lines.map(cells);
        Table { columns: rows.next().unwrap(), rows: rows.collect() }
    }

    fn cell<'t>(&self, row: &'t [String], column: &str) -> &'t str {
        &row[self.columns.iter().position(|c| c == column).unwrap_or_else(|| panic!("no column `{column}`"))]
    }

    /// The operator sets of the standard, each with its cell of `row`.
    fn opsets<'t>(&self, row: &'t [String]) -> Vec<(i64, &'t str)> {
        let mut found = Vec::new();
        for (column, cell) in self.columns.iter().zip(row) {
            if let Some((first, last)) = column.split_once('–') {
                found.extend(
                    (first.parse().unwrap()..=last.parse().unwrap()).map(|opset| (opset, cell.as_str())),
                );
            }
        }
        assert!(found.iter().map(|(opset, _)| *opset).eq(OPSETS), "{:?}", self.columns);
        found
    }

    /// The rows of an operator.
    fn of<'t>(&'t self, op: &'t str) -> impl Iterator<Item = &'t Vec<String>> {
        self.rows.iter().filter(move |row| self.cell(row, "operators").split(", ").any(|o| o == op))
    }
}

/// Parses attributes as the page writes them: `direction=reverse; clip=0.5`.
fn assignments(text: &str) -> Vec<(&str, &str)> {
    text.split("; ").map(|one| one.split_once('=').unwrap_or_else(|| panic!("{one}"))).collect()
}

/// The texts in backquotes.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// The types of all attributes by name.
fn types() -> HashMap<String, String> {
    let table = Table::below("Attributes");
    let one = |row: &Vec<String>| {
        (quoted(table.cell(row, "attribute"))[0].to_string(), table.cell(row, "type").to_string())
    };
    table.rows.iter().map(one).collect()
}

fn words<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> Vec<T> {
    text.split_whitespace().map(|w| w.parse().unwrap()).collect()
}

fn attribute((name, text): (&str, &str), types: &HashMap<String, String>) -> Msg {
    match types[name].as_str() {
        "FLOAT" => attr_f(name, text.parse().unwrap()),
        "INT" => attr_i(name, text.parse().unwrap()),
        "STRING" => attr_s(name, text),
        "FLOATS" => attr_floats(name, &words(text)),
        "STRINGS" => attr_strings(name, &text.split_whitespace().collect::<Vec<_>>()),
        other => panic!("an attribute of type {other}"),
    }
}

/// The element types of the standard by number, with their size in bits.
const TYPES: [(i64, &str, usize); 24] = [
    (1, "FLOAT", 32),
    (2, "UINT8", 8),
    (3, "INT8", 8),
    (4, "UINT16", 16),
    (5, "INT16", 16),
    (6, "INT32", 32),
    (7, "INT64", 64),
    (8, "STRING", 0),
    (9, "BOOL", 8),
    (10, "FLOAT16", 16),
    (11, "DOUBLE", 64),
    (12, "UINT32", 32),
    (13, "UINT64", 64),
    (14, "COMPLEX64", 64),
    (15, "COMPLEX128", 128),
    (16, "BFLOAT16", 16),
    (17, "FLOAT8E4M3FN", 8),
    (18, "FLOAT8E4M3FNUZ", 8),
    (19, "FLOAT8E5M2", 8),
    (20, "FLOAT8E5M2FNUZ", 8),
    (21, "UINT4", 4),
    (22, "INT4", 4),
    (23, "FLOAT4E2M1", 4),
    (24, "FLOAT8E8M0", 8),
];

/// A tensor of zeros.
fn zeros(name: &str, dims: &[usize], dtype: i64) -> Msg {
    let bits = TYPES.iter().find(|t| t.0 == dtype).unwrap().2;
    raw(name, dims, dtype, vec![0; (dims.iter().product::<usize>() * bits).div_ceil(8)])
}

/// A model of one node, with everything that a test changes in it.
#[derive(Clone)]
struct One {
    op: &'static str,
    opset: i64,
    dtype: i64,
    attributes: Vec<Msg>,
    directions: usize,
    inputs: Vec<&'static str>,
    outputs: Vec<&'static str>,
    /// Dimensions of weights that replace the right ones.
    dims: HashMap<&'static str, Vec<usize>>,
    /// Element types of inputs that replace the node's type.
    dtypes: HashMap<&'static str, i64>,
}

impl One {
    fn new(op: &'static str, opset: i64, dtype: i64) -> One {
        One {
            op,
            opset,
            dtype,
            attributes: vec![],
            directions: 1,
            inputs: vec!["X", "W", "R"],
            outputs: vec!["Y", "Y_h"],
            dims: HashMap::new(),
            dtypes: HashMap::new(),
        }
    }

    /// Adds the attributes that the page writes as `text`.
    fn with(mut self, text: &str, types: &HashMap<String, String>) -> One {
        let given = assignments(text);
        self.directions = if given.contains(&("direction", "bidirectional")) { 2 } else { 1 };
        self.attributes = given.into_iter().map(|a| attribute(a, types)).collect();
        self
    }

    /// The dimensions of a weight, as the page states them.
    fn weight_dims(&self, input: &str) -> Vec<usize> {
        let table = Table::below("Inputs");
        let row = table.of(self.op).find(|row| table.cell(row, "input") == input).unwrap();
        let gates = OPERATORS.iter().find(|o| o.0 == self.op).unwrap().1;
        let number = |factor: &str| match factor {
            "D" => self.directions,
            "G" => gates,
            "H" => H,
            "I" => I,
            number => number.parse().unwrap(),
        };
        let dims = table.cell(row, "dimensions").trim_matches(['[', ']']);
        dims.split(", ").map(|dim| dim.split('·').map(number).product()).collect()
    }

    fn bytes(&self) -> Vec<u8> {
        let dtype = |input: &str| self.dtypes.get(input).copied().unwrap_or(self.dtype);
        let mut graph = Graph { outputs: vec![untyped("Y")], ..Graph::default() };
        for &input in self.inputs.iter().filter(|i| !i.is_empty()) {
            match input {
                "W" | "R" | "B" | "P" => {
                    let dims = self.dims.get(input).cloned().unwrap_or_else(|| self.weight_dims(input));
                    graph.stored.push(zeros(input, &dims, dtype(input)));
                }
                "sequence_lens" => {
                    let dtype = self.dtypes.get(input).copied().unwrap_or(INT32);
                    graph.inputs.push(value(input, dtype, &[Dim::Name("B")]));
                }
                "X" => {
                    let dims = [Dim::Name("first"), Dim::Name("second"), Dim::N(I)];
                    graph.inputs.push(value(input, dtype(input), &dims));
                }
                state => graph.inputs.push(value(state, dtype(state), &[Dim::Name("_"); 3])),
            }
        }
        graph.nodes = vec![node(self.op, NODE, &self.inputs, &self.outputs, &self.attributes)];
        graph.model(self.opset)
    }

    fn read(&self) -> RecurrentNode {
        recurrent_nodes(&self.bytes()).unwrap().remove(0)
    }

    /// Packs the node. It must be one that is computed.
    fn computed(&self, what: &str) -> RecurrentNode {
        let found = self.read();
        if let Some(e) = found.refusal() {
            panic!("{} {}: {what}: {e}", self.op, self.opset);
        }
        let shape = if self.dtype == DOUBLE {
            assert!(found.pack().is_err());
            found.pack_f64().unwrap().shape()
        } else {
            assert!(found.pack_f64().is_err());
            found.pack().unwrap().shape()
        };
        assert_eq!((shape.input, shape.hidden, shape.direction.count()), (I, H, self.directions));
        found
    }

    /// The error that refuses the node.
    fn refused(&self, what: &str) -> Error {
        let found = self.read();
        assert!(found.weights().is_err() && found.weights_f64().is_err());
        match found.refusal() {
            Some(e) => e.clone(),
            None => panic!("{} {}: {what} is not refused", self.op, self.opset),
        }
    }

    /// The input that the error names.
    fn refused_input(&self, what: &str) -> String {
        match self.refused(what) {
            Error::Input { node, input, .. } if node == NODE => input,
            e => panic!("{what}: {e}"),
        }
    }
}

/// The element types that the page lists for an operator in an operator set.
fn dtypes(op: &str, opset: i64) -> Vec<i64> {
    let table = Table::below("Element types");
    let yes = |row: &&Vec<String>| table.opsets(row).contains(&(opset, "yes"));
    let number = |row: &Vec<String>| {
        TYPES.iter().find(|t| t.1 == table.cell(row, "element type")).map(|t| t.0).unwrap()
    };
    table.of(op).filter(yes).map(number).collect()
}

#[test]
fn element_types() {
    let table = Table::below("Element types");
    for (op, _) in OPERATORS {
        let other = table.of(op).find(|row| table.cell(row, "element type") == "any other").unwrap();
        for (opset, _) in table.opsets(other) {
            let computed = dtypes(op, opset);
            let expected: &[i64] =
                if opset < 22 { &[FLOAT, DOUBLE, FLOAT16] } else { &[FLOAT, DOUBLE, FLOAT16, BFLOAT16] };
            assert_eq!(computed, expected, "the standard's, of {op} {opset}");
            for (dtype, name, _) in TYPES {
                let one = One::new(op, opset, dtype);
                if computed.contains(&dtype) {
                    let found = one.computed(name);
                    assert_eq!(found.weight_bytes, stored_bytes(&one), "{op} {opset} {name}");
                } else {
                    assert!(["X", "W"].contains(&one.refused_input(name).as_str()), "{op} {opset} {name}");
                }
            }
        }
    }
}

/// The bytes of W and R together.
fn stored_bytes(one: &One) -> usize {
    let bits = TYPES.iter().find(|t| t.0 == one.dtype).unwrap().2;
    ["W", "R"].map(|w| one.weight_dims(w).iter().product::<usize>() * bits / 8).iter().sum()
}

/// The attributes of the standard, each with the first and the last operator set that has it.
fn standard(op: &str) -> Vec<(&'static str, i64, i64)> {
    let all = ["activation_alpha", "activation_beta", "activations", "clip", "direction", "hidden_size"];
    let mut found: Vec<_> = all.into_iter().map(|name| (name, 1, 28)).collect();
    match op {
        "LSTM" => found.push(("input_forget", 1, 28)),
        "GRU" => found.push(("linear_before_reset", 3, 28)),
        _ => {}
    }
    found.extend([("layout", 14, 28), ("output_sequence", 1, 6)]);
    found
}

#[test]
fn the_table_has_every_attribute_of_the_standard() {
    let table = Table::below("Attributes");
    for (op, _) in OPERATORS {
        let mut rows: Vec<&str> = table.of(op).map(|row| quoted(table.cell(row, "attribute"))[0]).collect();
        let mut expected: Vec<&str> = standard(op).into_iter().map(|a| a.0).collect();
        rows.sort_unstable();
        expected.sort_unstable();
        assert_eq!(rows, expected, "{op}");
        for (name, first, last) in standard(op) {
            let row = table.of(op).find(|row| quoted(table.cell(row, "attribute")) == [name]).unwrap();
            for (opset, cell) in table.opsets(row) {
                let known = if (first..=last).contains(&opset) { "yes" } else { "no" };
                assert_eq!(cell, known, "{op} {opset} {name}");
            }
        }
    }
}

#[test]
fn attributes() {
    let (table, types) = (Table::below("Attributes"), types());
    let mut checked = 0;
    for (op, _) in OPERATORS {
        for row in table.of(op) {
            let name = quoted(table.cell(row, "attribute"))[0];
            let computed = quoted(table.cell(row, "computed"));
            let refused = quoted(table.cell(row, "refused"));
            assert!(!computed.is_empty() && !refused.is_empty(), "{op} {name}");
            for (opset, known) in table.opsets(row) {
                for dtype in dtypes(op, opset) {
                    let one = |text| One::new(op, opset, dtype).with(text, &types);
                    for &text in computed.iter().filter(|_| known == "yes") {
                        check_read(&one(text).computed(text), text);
                    }
                    let unknown = computed.iter().filter(|_| known == "no");
                    for &text in refused.iter().chain(unknown) {
                        check_refused(&one(text).refused(text), (name, text), known);
                    }
                    checked += computed.len() + refused.len();
                }
            }
        }
    }
    println!("{checked} models");
    assert!(checked > 5000, "{checked}");
}

/// Checks that the error names the node, the attribute and its value.
fn check_refused(e: &Error, (name, text): (&str, &str), known: &str) {
    let Error::Attribute { node, attribute, reason } = e else { panic!("{text}: {e}") };
    let given = assignments(text);
    assert_eq!(node, NODE);
    if known == "no" {
        assert!(
            given.iter().any(|(given, _)| given == attribute) && reason.contains("not an attribute"),
            "{e}"
        );
        return;
    }
    assert_eq!(attribute, name, "{text}: {e}");
    let value = given.iter().find(|(given, _)| *given == name).unwrap().1;
    let last = value.split_whitespace().last().unwrap_or("");
    assert!(reason.contains(last), "{text}: {e}");
}

/// Checks that a node has the attributes in `text`.
fn check_read(found: &RecurrentNode, text: &str) {
    let given = assignments(text);
    let get = |name: &str| given.iter().find(|(n, _)| *n == name).map(|(_, text)| *text);
    assert_eq!(found.direction.unwrap().to_string(), get("direction").unwrap_or("forward"));
    let layout = if get("layout") == Some("1") { Layout::BatchMajor } else { Layout::TimeMajor };
    let inputs = Table::below("Inputs");
    let x = inputs.of(found.op.name()).find(|row| inputs.cell(row, "input") == "X").unwrap();
    let column = if layout == Layout::TimeMajor { "dimensions" } else { "with `layout` 1" };
    let axes: Vec<&str> = inputs.cell(x, column).trim_matches(['[', ']']).split(", ").collect();
    let named = ["T", "B"].map(|axis| ["first", "second"][axes.iter().position(|a| *a == axis).unwrap()]);
    assert_eq!((found.layout, axes[2]), (Some(layout), "I"));
    assert_eq!([&found.time, &found.batch].map(Extent::to_string), named);
    assert_eq!((found.input, found.hidden), (Some(I), Some(H)));
    for cell in &found.cells {
        assert_eq!(cell.clip(), get("clip").map(|v| v.parse().unwrap()), "{text}");
        let (flag, is) = match cell {
            Cell::Lstm(cell) => ("input_forget", cell.input_forget),
            Cell::Gru(cell) => ("linear_before_reset", cell.linear_before_reset),
            Cell::Rnn(_) => continue,
        };
        assert_eq!(is, get(flag) == Some("1"), "{text}");
    }
    let values = |name| words(get(name).unwrap_or(""));
    let expected =
        functions(found, get("activations"), values("activation_alpha"), values("activation_beta"));
    let functions: Vec<Activation> = found.cells.iter().flat_map(Cell::activations).copied().collect();
    assert_eq!(functions, expected, "{text}");
}

/// The activation functions of a node by the page's rules.
fn functions(
    node: &RecurrentNode,
    names: Option<&str>,
    alphas: Vec<f32>,
    betas: Vec<f32>,
) -> Vec<Activation> {
    let default = match node.op.name() {
        "LSTM" => "Sigmoid Tanh Tanh",
        "GRU" => "Sigmoid Tanh",
        _ => "Tanh",
    };
    let directions = node.direction.unwrap().count();
    let names = names.map_or_else(|| [default; 2][..directions].join(" "), String::from);
    let (mut alphas, mut betas) = (alphas.into_iter(), betas.into_iter());
    let one = |name: &str| {
        let function = Activation::by_name(name).unwrap();
        let (alpha, beta) = function.parameters();
        function.with_parameters(alpha.and_then(|_| alphas.next()), beta.and_then(|_| betas.next()))
    };
    let count = default.split(' ').count() * directions;
    names.split_whitespace().map(one).take(count).collect()
}

#[test]
fn activation_functions() {
    let (table, types) = (Table::below("Activation functions"), types());
    let mut standard = [
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
    let mut rows: Vec<&str> = table.rows.iter().map(|row| table.cell(row, "function")).collect();
    rows.sort_unstable();
    standard.sort_unstable();
    assert_eq!(rows, standard);
    for row in &table.rows {
        let name = table.cell(row, "function");
        let defaults = ["alpha", "beta"].map(|p| table.cell(row, p).parse::<f32>().ok());
        for (op, count) in [("LSTM", 3), ("GRU", 2), ("RNN", 1)] {
            let of_all = format!("activations={}", [name; 3][..count].join(" "));
            let one = |more: &str| One::new(op, 22, FLOAT).with(&format!("{of_all}{more}"), &types);
            let required = ["alpha", "beta"].map(|p| table.cell(row, p) == "required");
            let needed = |skip: &str| -> String {
                let given =
                    ["alpha", "beta"].into_iter().zip(required).filter(|&(p, needed)| needed && p != skip);
                given.map(|(p, _)| format!("; activation_{p}={}", ["0.5"; 3][..count].join(" "))).collect()
            };
            let found = one(&needed("")).computed(name);
            for function in found.cells[0].activations() {
                let (alpha, beta) = function.parameters();
                let expected = std::array::from_fn(|i| if required[i] { Some(0.5) } else { defaults[i] });
                assert_eq!((function.name(), [alpha, beta]), (name, expected));
            }
            for (i, parameter) in ["alpha", "beta"].into_iter().enumerate() {
                let given = |n: usize| {
                    format!("{}; activation_{parameter}={}", needed(parameter), ["0.5"; 4][..n].join(" "))
                };
                let most = if required[i] || defaults[i].is_some() { count } else { 0 };
                one(&given(most)).computed(name);
                let e = one(&given(most + 1)).refused(name);
                assert!(e.to_string().contains("left over"), "{e}");
                if required[i] {
                    let e = one(&given(count - 1)).refused(name);
                    assert!(e.to_string().contains("needs a value"), "{e}");
                }
            }
        }
    }
}

#[test]
fn operator_sets_of_no_column() {
    for (op, _) in OPERATORS {
        for opset in [i64::MIN, -1, 0, 29, i64::MAX] {
            let e = One::new(op, opset, FLOAT).refused("an unknown operator set");
            assert!(matches!(e, Error::Opset { version: Some(v), .. } if v == opset), "{e}");
        }
    }
}

/// The inputs or outputs of an operator, each with its cell of a column.
fn values<'t>(table: &'t Table, op: &'t str, kind: &str, column: &str) -> Vec<(&'static str, &'t str)> {
    const NAMES: [&str; 11] =
        ["X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P", "Y", "Y_h", "Y_c"];
    let name = |row: &[String]| *NAMES.iter().find(|n| **n == table.cell(row, kind)).unwrap();
    table.of(op).map(|row| (name(row), table.cell(row, column))).collect()
}

/// Two lists of the values, in which those whose bit in `bits` is 0 are absent: one has empty names for them, the other
/// is also cut after the last value that is present.
fn absent(names: &[&'static str], bits: usize) -> [Vec<&'static str>; 2] {
    let named: Vec<&str> =
        names.iter().enumerate().map(|(i, name)| if bits >> i & 1 == 1 { *name } else { "" }).collect();
    let len = named.iter().rposition(|name| !name.is_empty()).map_or(0, |last| last + 1);
    [named.clone(), named[..len].to_vec()]
}

#[test]
fn inputs_in_any_combination() {
    let table = Table::below("Inputs");
    for (op, _) in OPERATORS {
        let inputs = values(&table, op, "input", "presence");
        let names: Vec<&str> = inputs.iter().map(|i| i.0).collect();
        let standard = ["X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P"];
        assert_eq!(names, &standard[..if op == "LSTM" { 8 } else { 6 }]);
        for bits in 0..1 << names.len() {
            for list in absent(&names, bits) {
                let missing =
                    inputs.iter().enumerate().find(|(i, input)| input.1 == "required" && bits >> i & 1 == 0);
                let one = One { inputs: list, ..One::new(op, 22, FLOAT) };
                match missing {
                    None => {
                        let found = &one.computed("inputs").inputs;
                        assert!(found.iter().eq(one.inputs.iter().filter(|i| !i.is_empty())), "{found:?}");
                    }
                    Some((_, (name, _))) => assert_eq!(one.refused_input("a missing input"), *name),
                }
            }
        }
        let more = names.iter().chain(&["Q"]).copied().collect();
        let e = One { inputs: more, ..One::new(op, 22, FLOAT) }.refused("one more input");
        assert!(matches!(&e, Error::Node { node, .. } if node == NODE), "{e}");
    }
}

#[test]
fn dimensions_and_element_types_of_inputs() {
    let (table, types) = (Table::below("Inputs"), types());
    for (op, _) in OPERATORS {
        let names: Vec<&str> = values(&table, op, "input", "input").iter().map(|i| i.0).collect();
        for direction in ["direction=forward", "direction=reverse", "direction=bidirectional"] {
            let one = One { inputs: names.clone(), ..One::new(op, 17, FLOAT) }.with(direction, &types);
            one.computed(direction);
            for &weight in names.iter().filter(|n| ["W", "R", "B", "P"].contains(n)) {
                let right = one.weight_dims(weight);
                let with = |dims: Vec<usize>| One { dims: HashMap::from([(weight, dims)]), ..one.clone() };
                assert_eq!(with([&right[..], &[1]].concat()).refused_input("another rank"), weight);
                assert_eq!(with(vec![]).refused_input("a scalar"), weight);
                // Changing the number of columns means another input size for W, and another hidden size for R.
                let axes = if weight == "W" { 0..2 } else { 0..right.len() };
                for axis in axes {
                    for size in [right[axis] + 1, right[axis] - 1, 0] {
                        let mut dims = right.clone();
                        dims[axis] = size;
                        let named = with(dims).refused_input("a wrong dimension");
                        assert!(named == weight || weight == "R", "{weight}: {named}");
                    }
                }
            }
        }
        for (input, dtype) in values(&table, op, "input", "element type") {
            let one = One { inputs: names.clone(), ..One::new(op, 17, FLOAT) };
            let other = if dtype == "INT32" { INT64 } else { DOUBLE };
            let named =
                One { dtypes: HashMap::from([(input, other)]), ..one }.refused_input("another element type");
            assert!(named == input || input == "W", "{input}: {named}");
        }
    }
}

#[test]
fn outputs_in_any_combination() {
    let table = Table::below("Outputs");
    for (op, _) in OPERATORS {
        let names: Vec<&str> = values(&table, op, "output", "output").iter().map(|o| o.0).collect();
        assert_eq!(names, &["Y", "Y_h", "Y_c"][..if op == "LSTM" { 3 } else { 2 }]);
        for opset in OPSETS {
            let is = |row: &&Vec<String>| table.opsets(row).contains(&(opset, "required"));
            let required: Vec<&str> = table.of(op).filter(is).map(|row| table.cell(row, "output")).collect();
            assert_eq!(
                required,
                if op == "GRU" && opset < 3 { vec!["Y_h"] } else { vec![] },
                "the standard's"
            );
            for bits in 0..1 << names.len() {
                for list in absent(&names, bits) {
                    let missing = required.iter().find(|r| !list.contains(r));
                    let one = One { outputs: list, ..One::new(op, opset, FLOAT) };
                    match missing {
                        None => drop(one.computed("outputs")),
                        Some(name) => {
                            let e = one.refused("a missing output");
                            assert!(e.to_string().contains(name) && e.to_string().contains(NODE), "{e}");
                        }
                    }
                }
            }
        }
        let more = ["Y", "Y_h", "Y_c", "Y_d"][..names.len() + 1].to_vec();
        let e = One { outputs: more, ..One::new(op, 22, FLOAT) }.refused("one more output");
        assert!(matches!(&e, Error::Node { node, .. } if node == NODE), "{e}");
    }
}
