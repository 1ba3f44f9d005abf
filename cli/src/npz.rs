//! Reads `.npz` archives: ZIP files of `.npy` files.

use crate::npy::decode;
use crate::tensors::Tensors;
use anyhow::{Context, Result, bail, ensure};
use rnnpack_onnx::Shown;
use std::collections::HashSet;
use std::io::{Cursor, Read};
use std::path::Path;
use zip::ZipArchive;

/// How many bytes all arrays of an archive may have together: this many, and [`MAX_GROWTH`] for each byte of the
/// archive. Compression makes a thousand bytes of zeros into one.
const MAX_ARRAYS: u64 = 64 << 20;
const MAX_GROWTH: u64 = 100;

/// Reads all arrays of a `.npz` archive.
pub(crate) fn read_npz(path: &Path) -> Result<Tensors> {
    let read = || parse(&std::fs::read(path)?);
    read().with_context(|| format!("cannot read {}", path.display()))
}

fn parse(bytes: &[u8]) -> Result<Tensors> {
    check_ends(bytes)?;
    let mut archive = ZipArchive::new(Cursor::new(bytes))?;
    check_names(bytes, &archive)?;
    let mut left = (bytes.len() as u64).saturating_mul(MAX_GROWTH).saturating_add(MAX_ARRAYS);
    let mut tensors = Tensors::new();
    for i in 0..archive.len() {
        let entry = archive.by_index(i)?;
        let name = entry.name().strip_suffix(".npy").unwrap_or(entry.name()).to_owned();
        let shown = Shown(&name).to_string();
        let declared = entry.size();
        ensure!(declared <= left, "array {shown:?}: the arrays are too large for an archive of this size");
        let mut array = Vec::new();
        array.try_reserve_exact(declared as usize).with_context(|| format!("array {shown:?}"))?;
        let size = entry.take(declared + 1).read_to_end(&mut array)? as u64;
        ensure!(size == declared, "array {shown:?}: it does not have the {declared} bytes that are declared");
        left -= size;
        let tensor = decode(&array).with_context(|| format!("array {shown:?}"))?;
        if tensors.insert(name, tensor).is_some() {
            bail!("it has {shown:?} and \"{shown}.npy\", which name the same array");
        }
    }
    Ok(tensors)
}

/// The first bytes of a header of the central directory, and of the end of an archive.
const HEADER: [u8; 4] = *b"PK\x01\x02";
const END: [u8; 4] = *b"PK\x05\x06";

/// Refuses a file with many ends of archives. The reader tries each of them, and may search the whole file for each.
fn check_ends(bytes: &[u8]) -> Result<()> {
    const MOST: usize = 16;
    let ends = bytes.windows(END.len()).filter(|w| *w == END).count();
    ensure!(ends <= MOST, "it has {ends} ends of archives, more than {MOST}");
    Ok(())
}

/// Refuses an archive in which two entries have the same name: the reader would keep only the last one.
fn check_names(bytes: &[u8], archive: &ZipArchive<Cursor<&[u8]>>) -> Result<()> {
    const FIXED: usize = 46;
    let start = usize::try_from(archive.central_directory_start()).unwrap_or(usize::MAX);
    let mut rest = bytes.get(start..).unwrap_or_default();
    let mut names = HashSet::new();
    let mut entries = 0;
    while let Some((header, behind)) = rest.split_at_checked(FIXED).filter(|(h, _)| h.starts_with(&HEADER)) {
        let [name, extra, comment] = [28, 30, 32].map(|at| u16::from_le_bytes([header[at], header[at + 1]]));
        let Some((name, behind)) = behind.split_at_checked(name.into()) else { break };
        if !names.insert(name) {
            bail!("two of its arrays are named {:?}", Shown(&String::from_utf8_lossy(name)).to_string());
        }
        entries += 1;
        rest = behind.get(usize::from(extra) + usize::from(comment)..).unwrap_or_default();
    }
    ensure!(entries == archive.len(), "it lists {entries} arrays, of which {} are to be read", archive.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use zip::CompressionMethod::{Deflated, Stored};
    use zip::write::{SimpleFileOptions, ZipWriter};

    /// A `.npy` file of one f32 for each of `len` elements.
    fn array(len: usize) -> Vec<u8> {
        let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({len},)}}\n");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.resize(bytes.len() + 4 * len, 0);
        bytes
    }

    fn archive(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in entries {
            let method = if bytes.len() > 10_000 { Deflated } else { Stored };
            zip.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    /// Replaces every `from` in the bytes. Both have the same length, so that all offsets stay.
    fn renamed(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for at in 0..=bytes.len() - from.len() {
            if bytes[at..].starts_with(from) {
                bytes[at..at + to.len()].copy_from_slice(to);
            }
        }
        bytes
    }

    #[track_caller]
    fn refused(bytes: &[u8], why: &str) {
        let error = format!("{:#}", parse(bytes).unwrap_err());
        assert!(error.contains(why) && !error.contains('\n'), "{error}");
    }

    #[test]
    fn arrays_are_read_by_name_with_and_without_npy() {
        let bytes = archive(&[("a.npy", array(2)), ("b", array(3)), ("in/0/x.npy", array(0))]);
        let tensors = parse(&bytes).unwrap();
        assert_eq!(tensors.keys().collect::<Vec<_>>(), ["a", "b", "in/0/x"]);
        assert_eq!(tensors["b"].dims(), [3]);
    }

    #[test]
    fn names_that_mean_the_same_array_are_refused() {
        let twice = archive(&[("aa.npy", array(1)), ("ab.npy", array(1))]);
        refused(&renamed(&twice, b"ab.npy", b"aa.npy"), "two of its arrays are named \"aa.npy\"");
        refused(&archive(&[("X", array(1)), ("X.npy", array(1))]), "which name the same array");
        refused(&archive(&[("X.npy", array(1)), ("X", array(1))]), "it has \"X\" and \"X.npy\"");
    }

    #[test]
    fn a_bomb_is_refused_by_its_declared_size_and_by_its_real_one() {
        let bomb = archive(&[("x.npy", array(20 << 20))]);
        assert!(bomb.len() < 100_000);
        refused(&bomb, "the arrays are too large for an archive of this size");
        // Many that are just small enough, and one that declares less than it holds.
        let part = array(4 << 20);
        let many: Vec<String> = (0..6).map(|i| format!("x{i}.npy")).collect();
        let many: Vec<(&str, Vec<u8>)> = many.iter().map(|name| (name.as_str(), part.clone())).collect();
        refused(&archive(&many), "the arrays are too large for an archive of this size");
        let size = (part.len() as u32).to_le_bytes();
        let lying = renamed(&archive(&many[..1]), &size, &100u32.to_le_bytes());
        refused(&lying, "it does not have the 100 bytes that are declared");
    }

    #[test]
    fn many_ends_of_archives_are_refused() {
        refused(&[&END[..], &[0; 18]].concat().repeat(20_000), "it has 20000 ends of archives");
    }
}
