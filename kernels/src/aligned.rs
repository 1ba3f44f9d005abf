//! Buffers on cache-line boundaries.

use std::ops::{Deref, DerefMut};

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; LINE]);

/// f32 in a cache line.
pub(crate) const LINE: usize = 16;

/// A zeroed f32 buffer that starts on a 64-byte boundary. It grows on demand and keeps its memory.
#[derive(Clone, Default)]
pub(crate) struct AlignedBuf {
    lines: Vec<Line>,
    len: usize,
}

impl AlignedBuf {
    /// `len` zeros; `None` where the memory cannot be had.
    pub(crate) fn zeroed(len: usize) -> Option<AlignedBuf> {
        let mut buf = AlignedBuf::default();
        buf.resize(len)?;
        Some(buf)
    }

    /// Makes the length `len`; new elements are zero, old ones keep what they held. Allocates only beyond the
    /// largest length so far; `None`, with nothing changed, where the memory cannot be had.
    pub(crate) fn resize(&mut self, len: usize) -> Option<()> {
        let lines = len.div_ceil(LINE);
        if lines > self.lines.len() {
            self.lines.try_reserve_exact(lines - self.lines.len()).ok()?;
            self.lines.resize(lines, Line([0.0; LINE]));
        }
        self.len = len;
        Some(())
    }
}

impl Deref for AlignedBuf {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        // SAFETY: `Line` is `repr(C)` over LINE f32 without padding, and `lines` holds at least `len` of them.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as in `deref`; `&mut self` makes the access unique.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_zeroed_aligned_and_keep_their_memory() {
        let mut buf = AlignedBuf::zeroed(33).unwrap();
        assert_eq!(buf.len(), 33);
        assert!(buf.iter().all(|&x| x == 0.0));
        assert_eq!(buf.as_ptr() as usize % 64, 0);
        let before = buf.as_ptr();
        buf.resize(1).unwrap();
        buf.resize(33).unwrap();
        assert_eq!(buf.as_ptr(), before);
    }

    #[test]
    fn memory_that_cannot_be_had_is_refused() {
        assert!(AlignedBuf::zeroed(isize::MAX as usize / 4).is_none());
    }
}
