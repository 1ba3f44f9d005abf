//! Encodes tensors that are stored in another way than as dense data in the file.

use super::Msg;

/// A stored tensor whose data is in another file. `place` has keys and values.
pub fn external(name: &str, dims: &[usize], dtype: i64, place: &[(&str, &str)]) -> Msg {
    let m = dims.iter().fold(Msg::default(), |m, &d| m.int(1, d as i64)).int(2, dtype).text(8, name);
    let entry = |&(key, value): &(&str, &str)| Msg::default().text(1, key).text(2, value);
    place.iter().fold(m, |m, pair| m.msg(13, &entry(pair))).int(14, 1)
}

/// A stored sparse tensor.
pub fn sparse(values: &Msg, indices: &Msg, dims: &[i64]) -> Msg {
    dims.iter().fold(Msg::default().msg(1, values).msg(2, indices), |m, &d| m.int(3, d))
}
