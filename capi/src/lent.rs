//! Memory that C lends for one call: pointers are checked as far as possible and become references and slices here.
//!
//! Only the caller can know that the memory behind a pointer exists, and that nobody else writes it during the call.
//! The contract at the top of the header demands this. The SAFETY lines here and in the other files call it "the
//! contract".

use crate::{
    Failure, RNNPACK_ALIGNMENT, RNNPACK_ARGUMENT, RNNPACK_NULL_POINTER, RNNPACK_OVERLAP, RNNPACK_SHAPE,
    RNNPACK_STRUCT_SIZE,
};
use std::ffi::{CStr, c_char};
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::slice;

/// Refuses NULL and misaligned pointers.
#[inline]
fn check<T>(pointer: *const T, what: &'static str) -> Result<NonNull<T>, Failure> {
    match NonNull::new(pointer.cast_mut()) {
        Some(found) if pointer.is_aligned() => Ok(found),
        found => Err(refuse(found.is_none(), align_of::<T>(), what)),
    }
}

#[cold]
fn refuse(is_null: bool, align: usize, what: &'static str) -> Failure {
    match is_null {
        true => Failure::new(RNNPACK_NULL_POINTER, format_args!("{what} is NULL")),
        false => Failure::new(RNNPACK_ALIGNMENT, format_args!("{what} is not aligned to {align} bytes")),
    }
}

/// The object behind a handle.
///
/// # Safety
/// The contract: `pointer` is NULL, misaligned, or a handle that lives for `'a`.
pub(crate) unsafe fn handle<'a, T>(pointer: *const T, what: &'static str) -> Result<&'a T, Failure> {
    // SAFETY: by the contract, since it is neither NULL nor misaligned.
    check(pointer, what).map(|found| unsafe { found.as_ref() })
}

/// Makes a handle and puts it into `*out`. If it cannot be made, puts NULL there.
///
/// # Safety
/// The contract: `out` is NULL, misaligned, or valid for writing a pointer.
pub(crate) unsafe fn create<T>(
    out: *mut *mut T,
    what: &'static str,
    make: impl FnOnce() -> Result<T, Failure>,
) -> Result<(), Failure> {
    let out = check(out, what)?;
    // SAFETY: by the contract, since it is neither NULL nor misaligned.
    unsafe { out.write(std::ptr::null_mut()) };
    let made = Box::into_raw(Box::new(make()?));
    // SAFETY: as above.
    unsafe { out.write(made) };
    Ok(())
}

/// Frees a handle that [`create`] made; does nothing for NULL.
///
/// # Safety
/// The contract: `pointer` is NULL, misaligned, or a handle that no other call uses, now or later.
pub(crate) unsafe fn free<T>(pointer: *mut T, what: &'static str) -> Result<(), Failure> {
    if !pointer.is_null() {
        check(pointer, what)?;
        // SAFETY: `create` made it by `Box::into_raw`, and by the contract no other call uses it.
        drop(unsafe { Box::from_raw(pointer) });
    }
    Ok(())
}

/// Writes `value` to `*out`.
///
/// # Safety
/// The contract: `out` is NULL, misaligned, or valid for writing.
pub(crate) unsafe fn put<T>(out: *mut T, what: &'static str, value: T) -> Result<(), Failure> {
    // SAFETY: by the contract, since it is neither NULL nor misaligned.
    check(out, what).map(|out| unsafe { out.write(value) })
}

/// A structure of the header, with members that later versions added at its end.
///
/// # Safety
/// The type must be `repr(C)` and begin with its size, a `usize`. Zeros must be a value of it. The earlier sizes must be less
/// than its size, and not less than that of a `usize`.
pub(crate) unsafe trait Structure: Copy {
    /// The sizes that earlier versions of the header gave it.
    const EARLIER: &'static [usize] = &[];
}

/// Checks the size at the start of a structure, and returns it.
///
/// # Safety
/// The contract: `pointer` is NULL, misaligned, or valid for reading a `usize`.
unsafe fn check_size<T: Structure>(
    pointer: *const T,
    what: &'static str,
) -> Result<(NonNull<T>, usize), Failure> {
    let found = check(pointer, what)?;
    // SAFETY: by the contract; structures are aligned for the `usize` that they begin with.
    let (got, expected) = (unsafe { found.cast::<usize>().read() }, size_of::<T>());
    if got != expected && !T::EARLIER.contains(&got) {
        return Err(Failure::new(
            RNNPACK_STRUCT_SIZE,
            format_args!("{what}->size is {got}, where this library has {expected}"),
        ));
    }
    Ok((found, got))
}

/// A copy of a structure that begins with its size. Members that the caller's header did not have are zero.
///
/// # Safety
/// The contract: `pointer` is NULL, misaligned, or valid for reading the number of bytes that its size says.
pub(crate) unsafe fn read<T: Structure>(pointer: *const T, what: &'static str) -> Result<T, Failure> {
    let mut whole = MaybeUninit::<T>::zeroed();
    // SAFETY: by the contract. The size is at most that of T; zeros are a value of what is not copied.
    unsafe {
        let (found, size) = check_size(pointer, what)?;
        found.cast::<u8>().as_ptr().copy_to_nonoverlapping(whole.as_mut_ptr().cast(), size);
        Ok(whole.assume_init())
    }
}

/// Fills a structure that begins with its size, as far as the caller's header has it.
///
/// # Safety
/// The contract: that of [`read`], and `pointer` is also valid for writing.
pub(crate) unsafe fn fill<T: Structure>(
    pointer: *mut T,
    what: &'static str,
    make: impl FnOnce() -> Result<T, Failure>,
) -> Result<(), Failure> {
    // SAFETY: by the contract. The size is at most that of T, and stays as it is.
    unsafe {
        let (found, size) = check_size(pointer, what)?;
        let whole = make()?;
        found.cast::<u8>().as_ptr().copy_from_nonoverlapping((&raw const whole).cast(), size);
        found.cast::<usize>().write(size);
    }
    Ok(())
}

/// A text that ends with a NUL.
///
/// # Safety
/// The contract: `pointer` is NULL or such a text, which lives for `'a`.
pub(crate) unsafe fn text<'a>(pointer: *const c_char, what: &'static str) -> Result<&'a str, Failure> {
    let found = check(pointer, what)?;
    // SAFETY: by the contract.
    let text = unsafe { CStr::from_ptr(found.as_ptr()) }.to_str();
    text.map_err(|_| Failure::new(RNNPACK_ARGUMENT, format_args!("{what} is not UTF-8")))
}

/// A flag, which is 0 or 1.
pub(crate) fn flag(value: i32, what: &'static str) -> Result<bool, Failure> {
    match value {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Failure::new(RNNPACK_ARGUMENT, format_args!("{what} is {value}, neither 0 nor 1"))),
    }
}

/// The member of `list` whose index is C's constant `value`.
pub(crate) fn choice<T: Copy>(value: i32, what: &'static str, list: &[T]) -> Result<T, Failure> {
    let found = usize::try_from(value).ok().and_then(|at| list.get(at));
    found
        .copied()
        .ok_or_else(|| Failure::new(RNNPACK_ARGUMENT, format_args!("{what} is {value}, which is unknown")))
}

/// A buffer of the caller: aligned, and of a size that memory can have.
pub(crate) struct Lent<T> {
    pub(crate) start: NonNull<T>,
    pub(crate) count: usize,
    what: &'static str,
}

impl<T> Clone for Lent<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Lent<T> {}

impl<T: Copy> Lent<T> {
    /// `count` elements at `pointer`. `pointer` may be NULL if `count` is 0.
    pub(crate) fn new(pointer: *const T, count: usize, what: &'static str) -> Result<Lent<T>, Failure> {
        if pointer.is_null() && count == 0 {
            return Ok(Lent { start: NonNull::dangling(), count, what });
        }
        let start = check(pointer, what)?;
        let bytes = count.checked_mul(size_of::<T>()).filter(|&bytes| isize::try_from(bytes).is_ok());
        if bytes.and_then(|bytes| pointer.addr().checked_add(bytes)).is_none() {
            return Err(Failure::new(
                RNNPACK_SHAPE,
                format_args!("{what} has {count} elements, more than memory can"),
            ));
        }
        Ok(Lent { start, count, what })
    }

    /// [`Lent::new`] for an optional buffer: `None` if `pointer` is NULL.
    pub(crate) fn optional(
        pointer: *const T,
        count: usize,
        what: &'static str,
    ) -> Result<Option<Lent<T>>, Failure> {
        let lent = Lent::new(pointer, count, what)?;
        Ok((!pointer.is_null()).then_some(lent))
    }

    /// Refuses a number of elements other than `expected`.
    pub(crate) fn expect(self, expected: usize) -> Result<Lent<T>, Failure> {
        match self.count == expected {
            true => Ok(self),
            false => {
                let Lent { what, count, .. } = self;
                Err(Failure::new(
                    RNNPACK_SHAPE,
                    format_args!("{what} has {count} elements where the shapes call for {expected}"),
                ))
            }
        }
    }

    /// The elements.
    ///
    /// # Safety
    /// The contract: they are initialized, and nobody writes them for `'a`.
    pub(crate) unsafe fn slice<'a>(self) -> &'a [T] {
        // SAFETY: aligned, not NULL, and of a size that memory can have; the rest is the contract.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.count) }
    }

    /// The memory of the buffer.
    pub(crate) fn span(self) -> Span {
        let start = self.start.addr().get();
        Span { what: self.what, start, end: start + self.count * size_of::<T>() }
    }
}

/// The memory of a buffer, as byte addresses.
#[derive(Clone, Copy)]
pub(crate) struct Span {
    what: &'static str,
    start: usize,
    end: usize,
}

impl Span {
    /// Refuses a buffer that shares bytes with one of `others`.
    pub(crate) fn apart_from<const N: usize>(self, others: [Option<Span>; N]) -> Result<(), Failure> {
        let shares = |other: &Span| self.start.max(other.start) < self.end.min(other.end);
        match others.into_iter().flatten().find(shares) {
            Some(other) => {
                Err(Failure::new(RNNPACK_OVERLAP, format_args!("{} and {} overlap", self.what, other.what)))
            }
            None => Ok(()),
        }
    }
}
