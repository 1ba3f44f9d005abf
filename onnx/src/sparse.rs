//! Makes dense tensors of sparse ones: of sparse initializers, and of `sparse_value` of `Constant` nodes.

use crate::brief::List;
use crate::error::Error;
use crate::proto::{Graph, Model, Node, SparseTensor, Tensor as Stored, kind};
use crate::stored::{check_stored, raw_elements};
use crate::tensor::{Tensor, element_count};
use prost::Message;

/// The bytes that the dense tensors of a model may have: this many, and this many for each byte of the model.
const MAX_DENSE: (usize, usize) = (64 << 10, 64);

/// Replaces all sparse tensors of a model by dense ones.
///
/// # Errors
/// [`Error::Tensor`] if a sparse tensor is wrong, or if the dense tensors would be too large.
pub(crate) fn densify(model: &mut Model) -> Result<(), Error> {
    let bytes = model.encoded_len();
    let left = bytes.saturating_mul(MAX_DENSE.1).saturating_add(MAX_DENSE.0);
    model.graph.iter_mut().try_for_each(|graph| Budget(left).graph(graph))
}

/// How many more bytes of dense tensors may be made.
struct Budget(usize);

impl Budget {
    fn graph(&mut self, graph: &mut Graph) -> Result<(), Error> {
        for sparse in std::mem::take(&mut graph.sparse_initializer) {
            graph.initializer.push(self.dense(&sparse)?);
        }
        for node in &mut graph.node {
            self.constant(node)?;
            node.graphs_mut().try_for_each(|inner| self.graph(inner))?;
        }
        Ok(())
    }

    fn constant(&mut self, node: &mut Node) -> Result<(), Error> {
        if node.op_type != "Constant" || !node.is_standard() {
            return Ok(());
        }
        for a in node.attribute.iter_mut().filter(|a| a.name == "sparse_value") {
            let Some(sparse) = a.sparse_tensor.take() else { continue };
            a.t = Some(Box::new(self.dense(&sparse)?));
            (a.name, a.kind) = ("value".to_string(), kind::TENSOR);
        }
        Ok(())
    }

    fn dense(&mut self, sparse: &SparseTensor) -> Result<Stored, Error> {
        let name = sparse.values.as_ref().map_or("", |values| values.name.as_str());
        self.scattered(sparse, name).map_err(|reason| Error::Tensor {
            tensor: name.to_string(),
            reason: format!("it is sparse: {reason}"),
        })
    }

    fn scattered(&mut self, sparse: &SparseTensor, name: &str) -> Result<Stored, String> {
        let (Some(values), Some(indices)) = (&sparse.values, &sparse.indices) else {
            return Err("its values or its indices are missing".into());
        };
        let one =
            |&d: &i64| usize::try_from(d).map_err(|_| format!("dimension {d} in {}", List(&sparse.dims)));
        let dims = sparse.dims.iter().map(one).collect::<Result<Vec<usize>, String>>()?;
        let count =
            element_count(&dims).ok_or_else(|| format!("the product of {} overflows", List(&dims)))?;
        let stored = check_stored(values).map_err(|e| format!("values: {e}"))?;
        let [nonzero] = stored[..] else {
            return Err(format!("its values have dimensions {}, not one", List(&stored)));
        };
        let places = places(indices, &dims, nonzero)?;
        if let Some(place) = places.iter().find(|&&place| place >= count) {
            return Err(format!("index {place} is out of range for {count} elements"));
        }
        if !places.is_sorted_by(|a, b| a < b) {
            return Err("its indices do not ascend".into());
        }
        let (raw, size) = raw_elements(values)?;
        let bytes = count.checked_mul(size).ok_or("it overflows")?;
        self.0 = self.0.checked_sub(bytes).ok_or_else(|| {
            let (bytes, times) = MAX_DENSE;
            format!("dense tensors may have {times} bytes for each byte of the model, and {bytes} more")
        })?;
        let mut raw_data = vec![0; bytes];
        for (place, value) in places.into_iter().zip(raw.chunks_exact(size)) {
            raw_data[place * size..][..size].copy_from_slice(value);
        }
        let dims = sparse.dims.clone();
        Ok(Stored {
            name: name.to_string(),
            dims,
            data_type: values.data_type,
            raw_data,
            ..Stored::default()
        })
    }
}

/// Where the values are in the row-major tensor.
fn places(indices: &Stored, dims: &[usize], nonzero: usize) -> Result<Vec<usize>, String> {
    let indices = Tensor::from_proto(indices).map_err(|e| format!("indices: {e}"))?;
    let Some(values) = indices.as_slice::<i64>() else {
        return Err(format!("its indices are {}, not i64", indices.dtype()));
    };
    let out = |index: i64| format!("index {index} is out of range for {}", List(dims));
    if indices.dims() == [nonzero] {
        return values.iter().map(|&i| usize::try_from(i).map_err(|_| out(i))).collect();
    }
    if indices.dims() != [nonzero, dims.len()] || dims.is_empty() {
        let found = List(indices.dims());
        return Err(format!("its indices have dimensions {found} for {nonzero} values of {}", List(dims)));
    }
    let place = |index: &[i64]| {
        index.iter().zip(dims).try_fold(0usize, |place, (&i, &dim)| match usize::try_from(i) {
            Ok(at) if at < dim => Ok(place * dim + at),
            _ => Err(out(i)),
        })
    };
    values.chunks_exact(dims.len()).map(place).collect()
}
