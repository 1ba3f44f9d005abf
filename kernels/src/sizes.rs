//! The sizes of one direction of a layer.

/// The sizes of one direction of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Sizes {
    /// Input size I: the width of a row of x, and the columns of W.
    pub input: usize,
    /// Hidden size H: the number of units of every gate, and the width of a row of c.
    pub hidden: usize,
    /// Recurrent size P: the width of a row of h and y, and the columns of R. It equals H.
    pub recurrent: usize,
}

impl Sizes {
    /// I inputs and H hidden units. All hidden units recur: P = H.
    pub fn new(input: usize, hidden: usize) -> Sizes {
        Sizes { input, hidden, recurrent: hidden }
    }
}
