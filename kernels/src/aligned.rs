//! Buffers on cache-line boundaries. Large ones are on huge pages, if the system has them.

use crate::memory;
use alloc::alloc::{Layout, alloc, dealloc};
use core::fmt;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;
use wide::bytemuck::Pod;

/// The number of f32 in a cache line.
pub(crate) const LINE: usize = 16;

/// Bytes of a cache line.
pub(crate) const LINE_BYTES: usize = LINE * size_of::<f32>();

/// Bytes of a huge page on x86-64 and (with 4 KiB base pages) AArch64. Streaming weights through ordinary pages costs
/// a page walk every 16 values of k. Once the weights outgrow the TLB, the multiply-adds cannot hide it.
const HUGE_PAGE: usize = 2 << 20;

/// A buffer of plain numbers that starts on a 64-byte boundary. It grows on demand, with zeros, and keeps its memory.
///
/// # Invariant
/// `start` points to `capacity` initialized elements. They are allocated with [`AlignedBuf::layout`], unless `capacity`
/// is 0. `len` is at most `capacity`.
pub(crate) struct AlignedBuf<E = f32> {
    start: NonNull<E>,
    capacity: usize,
    len: usize,
}

// SAFETY: the buffer owns its memory, like a `Vec<E>`.
unsafe impl<E: Send> Send for AlignedBuf<E> {}
// SAFETY: through a shared reference the memory is only read.
unsafe impl<E: Sync> Sync for AlignedBuf<E> {}

impl<E: Pod> AlignedBuf<E> {
    /// A buffer of `len` zeros; `None` if the memory cannot be allocated.
    pub(crate) fn zeroed(len: usize) -> Option<AlignedBuf<E>> {
        let mut buf = AlignedBuf::default();
        buf.resize(len)?;
        Some(buf)
    }

    /// Sets the length to `len`. If `len` exceeds the largest length so far, it allocates, and all contents become
    /// zero. Returns `None`, with nothing changed, if the memory cannot be allocated.
    pub(crate) fn resize(&mut self, len: usize) -> Option<()> {
        if len > self.capacity {
            let layout = Some(AlignedBuf::<E>::layout(len)?).filter(|layout| memory::fits(layout.size()))?;
            // SAFETY: the layout's size is not zero, since len > capacity >= 0 and no element has size 0.
            let start = NonNull::new(unsafe { alloc(layout) })?;
            advise(start, layout);
            // SAFETY: the allocation has that many bytes; all-zero bytes are a valid `Pod`.
            unsafe { start.write_bytes(0, layout.size()) };
            // The old buffer is dropped here.
            *self = AlignedBuf { start: start.cast(), capacity: len, len };
        }
        self.len = len;
        Some(())
    }
}

impl<E> AlignedBuf<E> {
    /// The bytes of an allocation for `len` elements; `None` on overflow.
    pub(crate) fn bytes(len: usize) -> Option<usize> {
        const { assert!(size_of::<E>() > 0 && align_of::<E>() <= LINE_BYTES) };
        len.checked_mul(size_of::<E>())?.checked_next_multiple_of(LINE_BYTES)
    }

    fn layout(len: usize) -> Option<Layout> {
        let bytes = AlignedBuf::<E>::bytes(len)?;
        let align = if bytes >= HUGE_PAGE { HUGE_PAGE } else { LINE_BYTES };
        Layout::from_size_align(bytes, align).ok()
    }
}

/// Asks for huge pages for a large allocation, before its memory is first touched. Everything also works without them.
fn advise(start: NonNull<u8>, layout: Layout) {
    #[cfg(all(feature = "std", target_os = "linux"))]
    if layout.align() == HUGE_PAGE {
        // SAFETY: the range is one allocation of ours; the advice changes no content.
        unsafe { libc::madvise(start.as_ptr().cast(), layout.size(), libc::MADV_HUGEPAGE) };
    }
    #[cfg(not(all(feature = "std", target_os = "linux")))]
    let _ = (start, layout);
}

impl<E> Default for AlignedBuf<E> {
    fn default() -> AlignedBuf<E> {
        AlignedBuf { start: NonNull::dangling(), capacity: 0, len: 0 }
    }
}

impl<E> Drop for AlignedBuf<E> {
    fn drop(&mut self) {
        if let (Some(layout), true) = (AlignedBuf::<E>::layout(self.capacity), self.capacity > 0) {
            // SAFETY: allocated with this layout (invariant).
            unsafe { dealloc(self.start.as_ptr().cast(), layout) }
        }
    }
}

impl<E> Deref for AlignedBuf<E> {
    type Target = [E];
    fn deref(&self) -> &[E] {
        // SAFETY: `start` points to `len` initialized elements (invariant).
        unsafe { core::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<E> DerefMut for AlignedBuf<E> {
    fn deref_mut(&mut self) -> &mut [E] {
        // SAFETY: as in `deref`; `&mut self` makes the access unique.
        unsafe { core::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl<E> fmt::Debug for AlignedBuf<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlignedBuf").field("len", &self.len).field("capacity", &self.capacity).finish()
    }
}

/// A section of packed weights. It is allocated, or part of static bytes of the program. Both are read in the same way.
///
/// # Invariant
/// `start` points to `len` initialized elements. If `owner` is not empty, they are its elements, and it is not resized.
/// If `owner` is empty, nothing ever writes or frees the elements.
pub(crate) struct Section<E = f32> {
    start: NonNull<E>,
    len: usize,
    owner: AlignedBuf<E>,
}

// SAFETY: elements that are not owned are only read.
unsafe impl<E: Send + Sync> Send for Section<E> {}
// SAFETY: through a shared reference the memory is only read.
unsafe impl<E: Sync> Sync for Section<E> {}

impl<E> Section<E> {
    /// The allocated elements, to be written. It is empty for a section that is not owned.
    pub(crate) fn owned(&mut self) -> &mut [E] {
        &mut self.owner
    }
}

impl<E> From<AlignedBuf<E>> for Section<E> {
    fn from(owner: AlignedBuf<E>) -> Section<E> {
        Section { start: owner.start, len: owner.len, owner }
    }
}

impl<E> From<&'static [E]> for Section<E> {
    fn from(elements: &'static [E]) -> Section<E> {
        Section { start: NonNull::from(elements).cast(), len: elements.len(), owner: AlignedBuf::default() }
    }
}

impl<E> Deref for Section<E> {
    type Target = [E];
    fn deref(&self) -> &[E] {
        // SAFETY: `start` points to `len` initialized elements (invariant); writing takes `&mut self`.
        unsafe { core::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_zeroed_aligned_and_keep_their_memory() {
        for len in [1, 33, HUGE_PAGE / 4, HUGE_PAGE] {
            let mut buf = AlignedBuf::<f32>::zeroed(len).unwrap();
            assert_eq!(buf.len(), len);
            assert!(buf.iter().all(|&x| x == 0.0));
            assert_eq!(buf.as_ptr() as usize % 64, 0);
            let before = buf.as_ptr();
            buf[0] = 1.0;
            buf.resize(1).unwrap();
            buf.resize(len).unwrap();
            assert_eq!((buf.as_ptr(), buf[0]), (before, 1.0));
        }
    }

    #[test]
    fn a_buffer_is_shown_by_its_sizes() {
        let shown = alloc::format!("{:?}", AlignedBuf::<f32>::zeroed(5).unwrap());
        assert!(shown.starts_with("AlignedBuf { len: 5, capacity: "), "{shown}");
    }

    #[test]
    fn growing_gives_zeros() {
        let mut buf = AlignedBuf::<f32>::zeroed(5).unwrap();
        buf.fill(7.0);
        buf.resize(100).unwrap();
        assert_eq!(&buf[..], [0.0; 100]);
    }

    #[test]
    fn elements_of_any_size_stand_in_whole_cache_lines() {
        assert_eq!(AlignedBuf::<u8>::bytes(65), Some(128));
        assert_eq!(AlignedBuf::<u16>::bytes(32), Some(64));
        let buf = AlignedBuf::<u16>::zeroed(33).unwrap();
        assert_eq!((buf.len(), buf.as_ptr() as usize % 64), (33, 0));
    }

    #[test]
    fn memory_that_cannot_be_had_is_refused() {
        assert!(AlignedBuf::<u8>::zeroed(usize::MAX).is_none());
        assert!(AlignedBuf::<f32>::zeroed(isize::MAX as usize / 4).is_none());
    }
}
