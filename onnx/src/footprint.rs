//! The memory that parts of a decoded model take, counted before they are copied.

use crate::proto::{Attribute, Function, Graph, Node, SparseTensor, Tensor};

/// The bytes of a list of texts or of other bytes.
fn all<T: AsRef<[u8]>>(texts: &[T]) -> usize {
    texts.iter().map(|text| size_of::<T>() + text.as_ref().len()).sum()
}

/// The bytes that a function takes in memory. The time to copy it is in proportion to them.
pub(crate) fn of_function(f: &Function) -> usize {
    let names = all(&f.input) + all(&f.output) + all(&f.attribute);
    let defaults = f.attribute_proto.iter().map(of_attribute).sum::<usize>();
    size_of::<Function>() + size_of_val(&*f.opset_import) + names + defaults + of_nodes(&f.node)
}

/// The bytes that a list of nodes takes in memory.
fn of_nodes(nodes: &[Node]) -> usize {
    nodes.iter().map(of_node).sum()
}

fn of_node(node: &Node) -> usize {
    let texts = node.name.len() + node.op_type.len() + node.domain.len() + node.overload.len();
    let values = all(&node.input) + all(&node.output);
    size_of::<Node>() + texts + values + node.attribute.iter().map(of_attribute).sum::<usize>()
}

/// The bytes that an attribute takes in memory.
pub(crate) fn of_attribute(a: &Attribute) -> usize {
    let lists = size_of_val(&*a.floats) + size_of_val(&*a.ints) + all(&a.strings);
    let tensors = a.t.as_deref().into_iter().chain(&a.tensors).map(of_tensor).sum::<usize>();
    let sparse = a.sparse_tensor.as_deref().map_or(0, of_sparse);
    let graphs = a.g.as_deref().into_iter().chain(&a.graphs).map(of_graph).sum::<usize>();
    let texts = a.name.len() + a.ref_attr_name.len() + a.s.len();
    size_of::<Attribute>() + texts + lists + tensors + sparse + graphs
}

fn of_graph(graph: &Graph) -> usize {
    // A dimension of a declared type is at most this large, without its name.
    const DECLARED: usize = 256;
    let infos = graph.input.iter().chain(&graph.output).chain(&graph.value_info);
    let infos = infos.map(|info| DECLARED + 16 * prost::Message::encoded_len(info)).sum::<usize>();
    let stored = graph.initializer.iter().map(of_tensor).sum::<usize>();
    let sparse = graph.sparse_initializer.iter().map(of_sparse).sum::<usize>();
    size_of::<Graph>() + graph.name.len() + of_nodes(&graph.node) + infos + stored + sparse
}

fn of_sparse(sparse: &SparseTensor) -> usize {
    let parts = sparse.values.as_deref().into_iter().chain(sparse.indices.as_deref());
    size_of::<SparseTensor>() + size_of_val(&*sparse.dims) + parts.map(of_tensor).sum::<usize>()
}

fn of_tensor(t: &Tensor) -> usize {
    let ints = size_of_val(&*t.dims) + size_of_val(&*t.int32_data) + size_of_val(&*t.int64_data);
    let floats = size_of_val(&*t.float_data) + size_of_val(&*t.double_data);
    let others = size_of_val(&*t.uint64_data) + all(&t.string_data) + t.raw_data.len() + t.name.len();
    let external = t.external_data.iter().map(|e| size_of_val(e) + e.key.len() + e.value.len());
    size_of::<Tensor>() + ints + floats + others + external.sum::<usize>()
}
