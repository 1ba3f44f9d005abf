//! Layers of an ONNX file.

use crate::layer::{DIRECTIONS, OPS, constant};
use crate::lent::{self, Lent};
use crate::pack::Packing;
use crate::{Failure, LayerHandle, PackDesc, RNNPACK_NOT_FOUND, RNNPACK_ONNX, Status, status};
use rnnpack::Layout;
use rnnpack_onnx::{DType, File, RecurrentNode, Shown};
use std::ffi::{CString, c_char, c_void};
use std::ptr::null;

/// The recurrent nodes of an ONNX file. It never changes: many threads may use one at once.
pub struct OnnxHandle {
    nodes: Vec<Node>,
}

/// A node, and its description for C.
struct Node {
    node: RecurrentNode,
    name: CString,
    refusal: Option<CString>,
}

/// What rnnpack_onnx_get_node tells of a node. Its texts last as long as the rnnpack_onnx.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NodeInfo {
    /// In: sizeof(rnnpack_node_info).
    pub size: usize,
    /// The node's name, or where the file has none its operator and place, such as "LSTM_0". Names are unique: the second
    /// node called "a" is "a#2".
    pub name: *const c_char,
    /// NULL where rnnpack_onnx_layer makes a layer of the node; else why not.
    pub refusal: *const c_char,
    /// The operator.
    pub op: i32,
    /// The direction; -1 where the attribute cannot be read.
    pub direction: i32,
    /// The layout of X and Y in the file, RNNPACK_TIME_MAJOR or RNNPACK_BATCH_MAJOR; -1 where the attribute cannot be read.
    pub layout: i32,
    /// I; SIZE_MAX where the file does not tell.
    pub input: usize,
    /// H; SIZE_MAX where the file does not tell.
    pub hidden: usize,
}

// SAFETY: zeros are numbers and NULL pointers.
unsafe impl lent::Structure for NodeInfo {}

impl OnnxHandle {
    fn new(file: File) -> Result<OnnxHandle, Failure> {
        let nodes = file.into_nodes().into_iter().map(Node::new).collect::<Result<_, _>>()?;
        Ok(OnnxHandle { nodes })
    }
}

impl Node {
    fn new(node: RecurrentNode) -> Result<Node, Failure> {
        let name = CString::new(node.name.as_str()).map_err(|_| {
            Failure::new(RNNPACK_ONNX, format_args!("the name `{}` has a NUL", Shown(&node.name)))
        })?;
        // Only a node of doubles asks for its weights here, to get the error. If every node did, a file whose nodes
        // share their weights would take quadratic time.
        let refusal = match node.refusal() {
            None if node.dtype == Some(DType::F64) => node.weights().err().map(|error| error.to_string()),
            refusal => refusal.map(ToString::to_string),
        };
        let text = |error: String| CString::new(error.replace('\0', " ")).unwrap_or_default();
        let refusal = refusal.map(text);
        Ok(Node { node, name, refusal })
    }

    fn info(&self) -> NodeInfo {
        let layouts = [Layout::TimeMajor, Layout::BatchMajor];
        NodeInfo {
            size: size_of::<NodeInfo>(),
            name: self.name.as_ptr(),
            refusal: self.refusal.as_ref().map_or(null(), |text| text.as_ptr()),
            op: constant(&OPS, self.node.op.standard()),
            direction: self.node.direction.map_or(-1, |direction| constant(&DIRECTIONS, direction)),
            layout: self.node.layout.map_or(-1, |layout| constant(&layouts, layout)),
            input: self.node.input.unwrap_or(usize::MAX),
            hidden: self.node.hidden.unwrap_or(usize::MAX),
        }
    }
}

/// Reads the recurrent nodes of an ONNX model, those of the main graph first, then those inside of If, Loop and Scan.
/// Nodes that cannot become layers are listed too. The bytes are needed during the call alone.
///
/// bytes, count: the file's contents. onnx: out, NULL where the call fails.
///
/// Fails with RNNPACK_ONNX where the bytes are no ONNX model. Nodes whose weights are in other files are listed, but not
/// packed: use rnnpack_onnx_open.
/// Owner: the caller, until rnnpack_onnx_free.
/// Threads: any number at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rnnpack_onnx_parse(
    bytes: *const c_void,
    count: usize,
    onnx: *mut *mut OnnxHandle,
) -> Status {
    // SAFETY: by the contract.
    status::run(|| unsafe {
        lent::create(onnx, "onnx", || {
            let bytes = Lent::new(bytes.cast::<u8>(), count, "bytes")?.slice();
            OnnxHandle::new(File::parse(bytes)?)
        })
    })
}

/// Like rnnpack_onnx_parse, for the model in a file. Data that the model keeps in other files is read from files below the
/// model's own folder.
///
/// path: text in UTF-8. onnx: out, NULL where the call fails.
///
/// Fails with RNNPACK_NOT_FOUND where the file cannot be read, RNNPACK_ONNX where it is no ONNX model or where data in
/// another file cannot be read.
/// Owner: the caller, until rnnpack_onnx_free.
/// Threads: any number at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rnnpack_onnx_open(path: *const c_char, onnx: *mut *mut OnnxHandle) -> Status {
    // SAFETY: by the contract.
    status::run(|| unsafe {
        lent::create(onnx, "onnx", || OnnxHandle::new(File::open(lent::text(path, "path")?)?))
    })
}

/// Gives the number of recurrent nodes.
///
/// count: out.
///
/// Threads: any number at once, also on one rnnpack_onnx.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rnnpack_onnx_count(onnx: *const OnnxHandle, count: *mut usize) -> Status {
    // SAFETY: by the contract.
    status::run(|| unsafe { lent::put(count, "count", lent::handle(onnx, "onnx")?.nodes.len()) })
}

/// Tells what the file says of a node.
///
/// index: 0 to the number of nodes - 1. info: in and out; set its size first.
///
/// Fails with RNNPACK_NOT_FOUND for another index.
/// Threads: any number at once, also on one rnnpack_onnx.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rnnpack_onnx_get_node(
    onnx: *const OnnxHandle,
    index: usize,
    info: *mut NodeInfo,
) -> Status {
    // SAFETY: by the contract.
    status::run(|| unsafe {
        let nodes = &lent::handle(onnx, "onnx")?.nodes;
        lent::fill(info, "info", || {
            let count = nodes.len();
            let missing = || Failure::new(RNNPACK_NOT_FOUND, format_args!("node {index} of {count} nodes"));
            nodes.get(index).map(Node::info).ok_or_else(missing)
        })
    })
}

/// Packs the layer of a node, by its name as rnnpack_onnx_get_node tells it. Numbers of half precision are widened when they are
/// used, which is exact. The layer holds the weights alone: initial states and lengths, stored ones too, are given to rnnpack_forward.
///
/// name: text in UTF-8. pack: how the weights are packed; NULL: the defaults. layer: out, NULL where the call fails.
///
/// Fails with RNNPACK_NOT_FOUND where no node has the name, RNNPACK_WEIGHTS for a weight beyond the range of the type that
/// pack says, RNNPACK_UNSUPPORTED where the node is not computed here; the
/// message names its attribute, input or type (doubles, for one).
/// Owner: the caller, until rnnpack_layer_free; the rnnpack_onnx may be freed before.
/// Threads: any number at once, also on one rnnpack_onnx.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rnnpack_onnx_layer(
    onnx: *const OnnxHandle,
    name: *const c_char,
    pack: *const PackDesc,
    layer: *mut *mut LayerHandle,
) -> Status {
    // SAFETY: by the contract.
    status::run(|| unsafe {
        lent::create(layer, "layer", || {
            let (onnx, name) = (lent::handle(onnx, "onnx")?, lent::text(name, "name")?);
            let found = onnx.nodes.iter().find(|node| node.node.name == name);
            let missing = || {
                Failure::new(RNNPACK_NOT_FOUND, format_args!("no recurrent node is called `{}`", Shown(name)))
            };
            let node = &found.ok_or_else(missing)?.node;
            let packing = Packing::new(pack)?;
            // The node knows the scales of a file's integers.
            let packed = match packing.weight_type() {
                Some(weight_type) => packing.layer(node.clone().with_type(weight_type).weights()?),
                None => packing.layer(node.weights()?),
            };
            packed.map_err(|error| rnnpack_onnx::Error::of_layer(&node.name, error).into())
        })
    })
}

/// Frees what rnnpack_onnx_parse or rnnpack_onnx_open made; NULL is allowed. Layers made of it stay.
///
/// Threads: when no other call uses it any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rnnpack_onnx_free(onnx: *mut OnnxHandle) -> Status {
    // SAFETY: by the contract.
    status::run(|| unsafe { lent::free(onnx, "onnx") })
}
