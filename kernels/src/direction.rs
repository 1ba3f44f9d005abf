//! The direction in which a layer reads its sequences.

use core::fmt;

/// The direction, or directions, in which a layer reads its sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the first step to the last.
    Forward,
    /// From each sequence's own last step to the first.
    Reverse,
    /// Both: direction 0 reads forward, direction 1 in reverse.
    Bidirectional,
}

impl Direction {
    /// The number of directions D: 1 or 2.
    pub fn count(self) -> usize {
        if self == Direction::Bidirectional { 2 } else { 1 }
    }

    /// Whether direction `d` of the layer reads in reverse.
    pub fn is_reverse(self, d: usize) -> bool {
        self == Direction::Reverse || d == 1
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Direction::Forward => "forward",
            Direction::Reverse => "reverse",
            Direction::Bidirectional => "bidirectional",
        })
    }
}
