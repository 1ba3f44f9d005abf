//! Reads the bytes of a `.npy` file: its header, then its elements in any byte order and any order of axes.
//!
//! The format is NumPy's (`numpy.lib.format`): the magic bytes, the version, the length of the header, the header (a
//! Python dictionary with the keys `descr`, `fortran_order` and `shape`), and the elements. The header is read here
//! with nothing that nests, so its time is linear.

use anyhow::{Context, Result, bail, ensure};
use rnnpack_onnx::{DType, Shown, Tensor};
use std::borrow::Cow;

/// The longest accepted header. NumPy's own headers have 128 bytes.
const MAX_HEADER: usize = 4096;
/// The most dimensions of NumPy's arrays.
const MAX_RANK: usize = 64;

/// What the header says.
struct Header {
    dtype: DType,
    big_endian: bool,
    fortran_order: bool,
    dims: Vec<usize>,
}

/// Reads the bytes of a `.npy` file.
pub(crate) fn decode(bytes: &[u8]) -> Result<Tensor> {
    let (text, data) = split(bytes)?;
    let header = Header::parse(text).context("its header")?;
    let size = header.dtype.size();
    // A dimension of 0 does not hide an overflow of the others.
    let most = header.dims.iter().try_fold(size, |n, &d| n.checked_mul(d.max(1)));
    most.filter(|&n| isize::try_from(n).is_ok())
        .with_context(|| format!("its shape {:?} is too large", header.dims))?;
    let expected = header.dims.iter().product::<usize>() * size;
    let Header { dtype, big_endian, fortran_order, dims } = header;
    ensure!(
        data.len() == expected,
        "it has {} bytes of elements, where {dims:?} of {dtype} needs {expected}",
        data.len()
    );
    let mut data = if fortran_order { row_major(data, size, &dims) } else { Cow::Borrowed(data) };
    if big_endian && size > 1 {
        data.to_mut().chunks_exact_mut(size).for_each(<[u8]>::reverse);
    }
    Ok(Tensor::from_le_bytes(dtype, dims, &data)?)
}

/// Splits the bytes of a file into the text of the header and the elements.
fn split(bytes: &[u8]) -> Result<(&str, &[u8])> {
    let (length, rest) = match bytes {
        [0x93, b'N', b'U', b'M', b'P', b'Y', 1, _, a, b, rest @ ..] => {
            (u32::from(u16::from_le_bytes([*a, *b])), rest)
        }
        [0x93, b'N', b'U', b'M', b'P', b'Y', 2 | 3, _, a, b, c, d, rest @ ..] => {
            (u32::from_le_bytes([*a, *b, *c, *d]), rest)
        }
        _ => bail!("it is not a .npy array: save it with numpy.save"),
    };
    ensure!(length as usize <= MAX_HEADER, "its header claims {length} bytes, more than {MAX_HEADER}");
    let (text, data) = rest.split_at_checked(length as usize).context("it ends inside its header")?;
    Ok((std::str::from_utf8(text).context("its header is no text")?, data))
}

impl Header {
    fn parse(text: &str) -> Result<Header> {
        let mut parser = Parser(text);
        let (mut descr, mut fortran_order, mut dims) = (None, None, None);
        parser.expect('{')?;
        while !parser.eat('}') {
            let key = parser.quoted()?;
            parser.expect(':')?;
            let twice = match key {
                "descr" => descr.replace(parser.quoted()?).is_some(),
                "fortran_order" => fortran_order.replace(parser.boolean()?).is_some(),
                "shape" => dims.replace(parser.tuple()?).is_some(),
                other => bail!("the key {} is unknown", Shown(other)),
            };
            ensure!(!twice, "the key {key} is given twice");
            if !parser.eat(',') {
                parser.expect('}')?;
                break;
            }
        }
        ensure!(parser.0.trim_end().is_empty(), "it has text behind its end");
        let (dtype, big_endian) = element_type(descr.context("the key descr is missing")?)?;
        Ok(Header {
            dtype,
            big_endian,
            fortran_order: fortran_order.context("the key fortran_order is missing")?,
            dims: dims.context("the key shape is missing")?,
        })
    }
}

/// The element type that `descr` names, and whether its bytes are big-endian.
fn element_type(descr: &str) -> Result<(DType, bool)> {
    let (order, name) = descr.split_at_checked(1).unwrap_or_default();
    let dtype = match name {
        "f2" => DType::F16,
        "f4" => DType::F32,
        "f8" => DType::F64,
        "i1" => DType::I8,
        "i2" => DType::I16,
        "i4" => DType::I32,
        "i8" => DType::I64,
        "u1" => DType::U8,
        "u2" => DType::U16,
        "u4" => DType::U32,
        "u8" => DType::U64,
        "b1" => DType::Bool,
        _ => bail!(
            "elements of type {:?} are not read: convert it with .astype to float16, float32, float64, \
             int8 to int64, uint8 to uint64 or bool",
            Shown(descr).to_string()
        ),
    };
    match order {
        "<" => Ok((dtype, false)),
        ">" => Ok((dtype, true)),
        "|" if dtype.size() == 1 => Ok((dtype, false)),
        _ => bail!("the byte order of {:?} is not < or >", Shown(descr).to_string()),
    }
}

/// The rest of a header.
struct Parser<'h>(&'h str);

impl<'h> Parser<'h> {
    /// Skips blanks, and then `c` if it comes next. Returns whether it did.
    fn eat(&mut self, c: char) -> bool {
        self.0 = self.0.trim_start();
        self.0.strip_prefix(c).map(|rest| self.0 = rest).is_some()
    }

    fn expect(&mut self, c: char) -> Result<()> {
        ensure!(self.eat(c), "expected {c:?} before {:?}", Shown(self.0).to_string());
        Ok(())
    }

    /// A text in quotes, without escapes.
    fn quoted(&mut self) -> Result<&'h str> {
        let quote = if self.eat('"') { '"' } else { '\'' };
        if quote == '\'' {
            self.expect(quote).context("a text in quotes is missing")?;
        }
        let (text, rest) = self.0.split_once(quote).context("a quote is open")?;
        ensure!(!text.contains('\\'), "a text has an escape");
        self.0 = rest;
        Ok(text)
    }

    /// The letters and digits that come next.
    fn word(&mut self) -> &'h str {
        self.0 = self.0.trim_start();
        let end = self.0.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(self.0.len());
        let (word, rest) = self.0.split_at(end);
        self.0 = rest;
        word
    }

    fn boolean(&mut self) -> Result<bool> {
        match self.word() {
            "True" => Ok(true),
            "False" => Ok(false),
            other => bail!("fortran_order is {:?}, not True or False", Shown(other).to_string()),
        }
    }

    /// A tuple of sizes: `()`, `(2,)`, `(2, 3)`. Python 2 wrote `(2L, 3L)`.
    fn tuple(&mut self) -> Result<Vec<usize>> {
        self.expect('(')?;
        let mut sizes = Vec::new();
        while !self.eat(')') {
            let word = self.word();
            let digits = word.strip_suffix('L').unwrap_or(word);
            let size = digits.parse();
            sizes.push(size.with_context(|| format!("{:?} is no size", Shown(word).to_string()))?);
            ensure!(sizes.len() <= MAX_RANK, "it has more than {MAX_RANK} dimensions");
            if !self.eat(',') {
                self.expect(')')?;
                ensure!(sizes.len() > 1, "the shape is a number, not a tuple");
                break;
            }
        }
        Ok(sizes)
    }
}

/// Puts elements of `size` bytes whose first index runs fastest into row-major order.
fn row_major<'a>(data: &'a [u8], size: usize, dims: &[usize]) -> Cow<'a, [u8]> {
    // Axes of length 1 do not step. (length, distance of neighbours, index), the last axis last.
    let strides = dims.iter().scan(size, |stride, &d| Some(std::mem::replace(stride, *stride * d)));
    let mut axes: Vec<(usize, usize, usize)> =
        dims.iter().zip(strides).filter(|&(&d, _)| d > 1).map(|(&d, stride)| (d, stride, 0)).collect();
    let mut at = 0;
    let mut out = Vec::with_capacity(data.len());
    while out.len() < data.len() {
        out.extend_from_slice(&data[at..at + size]);
        for (len, stride, index) in axes.iter_mut().rev() {
            *index += 1;
            at += *stride;
            if index < len {
                break;
            }
            *index = 0;
            at -= *len * *stride;
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests;
