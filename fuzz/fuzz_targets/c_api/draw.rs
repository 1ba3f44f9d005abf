//! Draws arguments from the fuzzer's bytes: most of them fit, some do not.

use libfuzzer_sys::arbitrary::{Result, Unstructured};
use std::ffi::CString;
use std::ptr::null;

/// A number of elements beyond all memory.
const HUGE: usize = usize::MAX / 4;

/// Memory for a call, and the pointer and count that the call gets for it.
pub(crate) struct Buffer<T> {
    data: Vec<T>,
    count: usize,
    kind: Kind,
}

enum Kind {
    Whole,
    Null,
    Misaligned,
}

impl<T> Buffer<T> {
    /// The pointer and the count for the call.
    pub(crate) fn lend(&mut self) -> (*const T, usize) {
        let start = self.data.as_mut_ptr().cast_const();
        let start = match self.kind {
            Kind::Whole => start,
            Kind::Null => null(),
            Kind::Misaligned => start.wrapping_byte_add(1),
        };
        (start, self.count)
    }

    /// The number of elements that exist, or `None` if the pointer is NULL.
    pub(crate) fn given(&self) -> Option<usize> {
        if let Kind::Null = self.kind { None } else { Some(self.data.len()) }
    }
}

impl Buffer<f32> {
    pub(crate) fn bits(&self) -> Vec<u32> {
        self.data.iter().map(|x| x.to_bits()).collect()
    }
}

pub(crate) trait Draw {
    fn rarely(&mut self) -> Result<bool>;
    /// A constant below `end`; sometimes any number.
    fn constant(&mut self, end: i32) -> Result<i32>;
    /// 0 or 1; sometimes any number.
    fn flag(&mut self) -> Result<i32>;
    /// A size up to `most`; sometimes a size beyond all memory.
    fn extent(&mut self, most: usize) -> Result<usize>;
    /// The stride `fit`; sometimes any stride.
    fn stride(&mut self, fit: usize) -> Result<usize>;
    /// `expected` elements; sometimes another number of elements, or NULL. If `optional` is above 1, the buffer is
    /// often left out.
    fn buffer<T: Clone + Default>(&mut self, expected: usize, optional: u8) -> Result<Buffer<T>>;
    fn numbers(&mut self, expected: usize, optional: u8) -> Result<Buffer<f32>>;
    fn lens(&mut self, batch: usize, time: usize) -> Result<Buffer<i32>>;
    /// Names of activations, or none. Sometimes a name is NULL.
    fn names(&mut self, expected: usize) -> Result<Option<Vec<Option<CString>>>>;
    /// Any text.
    fn text(&mut self) -> Result<CString>;
}

impl Draw for Unstructured<'_> {
    fn rarely(&mut self) -> Result<bool> {
        Ok(self.int_in_range(0..=63u8)? == 63)
    }

    fn constant(&mut self, end: i32) -> Result<i32> {
        if self.rarely()? { self.arbitrary() } else { self.int_in_range(0..=end - 1) }
    }

    fn flag(&mut self) -> Result<i32> {
        Ok(match self.int_in_range(0..=63u8)? {
            63 => self.arbitrary()?,
            48..63 => 1,
            _ => 0,
        })
    }

    fn extent(&mut self, most: usize) -> Result<usize> {
        match self.rarely()? {
            // Sizes between small ones and those beyond all memory would succeed, and would only take long.
            true => Ok(self.arbitrary::<usize>()? | 1 << 56),
            false => self.int_in_range(0..=most),
        }
    }

    fn stride(&mut self, fit: usize) -> Result<usize> {
        if self.rarely()? { self.arbitrary() } else { Ok(fit) }
    }

    fn buffer<T: Clone + Default>(&mut self, expected: usize, optional: u8) -> Result<Buffer<T>> {
        let fit = if expected > 1 << 16 { 0 } else { expected };
        let (kind, count) = match self.int_in_range(0..=255u8)? {
            0 => (Kind::Null, fit),
            1 => (Kind::Misaligned, fit),
            2 => (Kind::Whole, HUGE),
            3 => (Kind::Whole, self.int_in_range(0..=300)?),
            4..=99 if optional > 1 => (Kind::Null, 0),
            _ => (Kind::Whole, fit),
        };
        let mut data = Vec::new();
        data.resize(if count == HUGE { fit } else { count }, T::default());
        Ok(Buffer { data, count, kind })
    }

    fn numbers(&mut self, expected: usize, optional: u8) -> Result<Buffer<f32>> {
        let mut buffer = self.buffer::<f32>(expected, optional)?;
        let (seed, special) = (self.arbitrary::<u8>()?, self.rarely()?);
        for (i, x) in buffer.data.iter_mut().enumerate() {
            *x = ((i as u8).wrapping_mul(37) ^ seed) as f32 / 128.0 - 1.0;
        }
        if special && !buffer.data.is_empty() {
            let at = self.int_in_range(0..=buffer.data.len() - 1)?;
            buffer.data[at] = f32::from_bits(self.arbitrary()?);
        }
        Ok(buffer)
    }

    fn lens(&mut self, batch: usize, time: usize) -> Result<Buffer<i32>> {
        let mut buffer = self.buffer::<i32>(batch, 2)?;
        for len in &mut buffer.data {
            *len =
                if self.rarely()? { self.arbitrary()? } else { self.int_in_range(0..=time.min(100) as i32)? };
        }
        Ok(buffer)
    }

    fn names(&mut self, expected: usize) -> Result<Option<Vec<Option<CString>>>> {
        const NAMES: [&str; 6] = ["Tanh", "sigmoid", "ScaledTanh", "HardSigmoid", "Affine", "Elu"];
        if self.ratio(2, 3)? {
            return Ok(None);
        }
        let count = if self.rarely()? { self.int_in_range(0..=9)? } else { expected };
        let mut name = || -> Result<Option<CString>> {
            Ok(match self.int_in_range(0..=63u8)? {
                0 => None,
                1 => Some(self.text()?),
                _ => CString::new(*self.choose(&NAMES)?).ok(),
            })
        };
        (0..count).map(|_| name()).collect::<Result<_>>().map(Some)
    }

    fn text(&mut self) -> Result<CString> {
        let len = self.int_in_range(0..=12)?;
        let bytes: Vec<u8> = self.bytes(len.min(self.len()))?.iter().copied().filter(|&b| b != 0).collect();
        Ok(CString::new(bytes).unwrap_or_default())
    }
}
