//! The fields of a protobuf message as bytes, to copy most of a message and to change some of it.

use crate::error::Error;
use prost::encoding::{WireType, decode_key, decode_varint, encode_key, encode_varint};

/// A field of a message.
pub(super) struct Field<'b> {
    pub(super) number: u32,
    /// Its tag and its value.
    pub(super) whole: &'b [u8],
    /// Its value, if it has a length: text, bytes or a message. Empty for other fields.
    pub(super) content: &'b [u8],
}

/// The fields of a message, in the order of its bytes.
///
/// # Errors
/// [`Error::Malformed`] if the bytes are no message, or have groups, which ONNX has not.
pub(super) fn fields(message: &[u8]) -> Result<Vec<Field<'_>>, Error> {
    let malformed = |reason: String| Error::Malformed { reason };
    let mut found = Vec::new();
    let mut rest = message;
    while !rest.is_empty() {
        let from = rest;
        let (number, kind) = decode_key(&mut rest).map_err(|e| malformed(e.to_string()))?;
        let length = match kind {
            WireType::Varint => decode_varint(&mut rest).map(|_| 0),
            WireType::SixtyFourBit => Ok(8),
            WireType::ThirtyTwoBit => Ok(4),
            WireType::LengthDelimited => decode_varint(&mut rest),
            WireType::StartGroup | WireType::EndGroup => return Err(malformed("it has a group".into())),
        };
        let length = length.map_err(|e| malformed(e.to_string()))?;
        let split = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length));
        let (content, after) = split.ok_or_else(|| malformed("a field is longer than its message".into()))?;
        rest = after;
        let whole = &from[..from.len() - rest.len()];
        let content = if kind == WireType::LengthDelimited { content } else { &[] };
        found.push(Field { number, whole, content });
    }
    Ok(found)
}

/// Appends a field with a length: text, bytes or a message.
pub(super) fn put(to: &mut Vec<u8>, number: u32, content: &[u8]) {
    encode_key(number, WireType::LengthDelimited, to);
    encode_varint(content.len() as u64, to);
    to.extend_from_slice(content);
}

/// The bytes of the last field of a message with this number, which is the one that counts. Empty if there is none.
pub(super) fn last(message: &[u8], number: u32) -> Result<&[u8], Error> {
    Ok(fields(message)?.iter().rfind(|field| field.number == number).map_or(&[], |field| field.content))
}
