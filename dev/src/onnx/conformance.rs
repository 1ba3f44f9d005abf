//! The conformance cases of the ONNX standard.

use super::{Field, fields, fixture};
use rnnpack_onnx::Tensor;

/// A case: a model of one node. All inputs of the node are inputs of the model.
pub struct Case {
    /// The name in the standard.
    pub name: String,
    /// The bytes of the model's file.
    pub model: Vec<u8>,
    /// The inputs by name.
    pub inputs: Vec<(String, Tensor)>,
    /// The outputs by name.
    pub outputs: Vec<(String, Tensor)>,
}

impl Case {
    /// The input of this name.
    pub fn input(&self, name: &str) -> Option<&Tensor> {
        self.inputs.iter().find(|(n, _)| n == name).map(|(_, t)| t)
    }

    /// The inputs that are weights, to bind, and the other inputs.
    pub fn weights_and_feeds(&self) -> [Vec<(&str, &Tensor)>; 2] {
        let all = self.inputs.iter().map(|(n, t)| (n.as_str(), t));
        let (weights, feeds) = all.partition(|(n, _)| matches!(*n, "W" | "R" | "B" | "P"));
        [weights, feeds]
    }
}

/// The cases whose names contain `part`, sorted.
pub fn cases(part: &str) -> Vec<Case> {
    let folder = fixture("onnx_node_tests");
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|n| n.starts_with("test_") && n.contains(part))
        .collect();
    names.sort();
    names.into_iter().map(|name| case(name, &folder)).collect()
}

fn case(name: String, folder: &std::path::Path) -> Case {
    let folder = folder.join(&name);
    let model = std::fs::read(folder.join("model.onnx")).unwrap();
    let graph = fields(&model).into_iter().find(|(n, _)| *n == 7).unwrap().1.bytes().to_vec();
    let values = |field: u64, kind: &str| {
        let infos = fields(&graph).into_iter().filter(|(n, _)| *n == field);
        let value_name = |f: Field<'_>| fields(f.bytes())[0].1.text().to_string();
        infos
            .enumerate()
            .map(|(i, (_, f))| {
                let path = folder.join(format!("test_data_set_0/{kind}_{i}.pb"));
                (value_name(f), tensor(&std::fs::read(path).unwrap()))
            })
            .collect()
    };
    Case { inputs: values(11, "input"), outputs: values(12, "output"), name, model }
}

/// The tensor of this name that a model stores.
pub fn stored(model: &[u8], name: &str) -> Option<Tensor> {
    let graph = fields(model).into_iter().find(|(n, _)| *n == 7)?.1.bytes();
    let mut stored = fields(graph).into_iter().filter(|(n, _)| *n == 5).map(|(_, f)| f.bytes());
    let named = |t: &&[u8]| fields(t).iter().any(|(n, f)| *n == 8 && f.text() == name);
    stored.find(named).map(tensor)
}

fn tensor(bytes: &[u8]) -> Tensor {
    let mut dims = Vec::new();
    let (mut dtype, mut raw) = (0, &[][..]);
    for (number, field) in fields(bytes) {
        match (number, field) {
            (1, Field::Int(d)) => dims.push(d as usize),
            (2, Field::Int(d)) => dtype = d,
            (9, Field::Bytes(b)) => raw = b,
            _ => {}
        }
    }
    let words = raw.chunks_exact(4).map(|c| c.try_into().unwrap());
    match dtype {
        1 => Tensor::new(&dims, words.map(f32::from_le_bytes).collect()).unwrap(),
        6 => Tensor::new(&dims, words.map(i32::from_le_bytes).collect()).unwrap(),
        2 => Tensor::new(&dims, raw.to_vec()).unwrap(),
        3 => Tensor::new(&dims, raw.iter().map(|&b| b as i8).collect()).unwrap(),
        other => panic!("element type {other}"),
    }
}
