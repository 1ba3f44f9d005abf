//! Reads the data of tensors that a model keeps in other files ("external data").

use crate::brief::Name;
use crate::error::Error;
use crate::proto::{Model, Tensor};
use crate::stored::{external_bytes, is_external};
use std::collections::HashSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

/// All tensors together may read this many times the bytes of the files that hold them. Tensors may share data, but a
/// small model must not read a large file any number of times.
const MOST_READS: u64 = 16;

/// The folder of a model, with the files that the model names below it.
pub(crate) struct DataFolder {
    folder: PathBuf,
    /// The folder's own path without links, once a tensor needs it.
    root: Option<PathBuf>,
    /// The file that was read last. Most models have only one.
    last: Option<DataFile>,
    /// The files that were opened.
    seen: HashSet<PathBuf>,
    /// How many more bytes may be read.
    left: u64,
}

struct DataFile {
    location: String,
    file: File,
    size: u64,
}

/// Where a tensor's data is.
struct Place<'t> {
    location: &'t str,
    offset: u64,
    length: Option<u64>,
}

impl DataFolder {
    pub(crate) fn new(folder: &Path) -> DataFolder {
        DataFolder { folder: folder.to_path_buf(), root: None, last: None, seen: HashSet::new(), left: 0 }
    }

    /// Whether a file of the folder was opened.
    pub(crate) fn is_used(&self) -> bool {
        !self.seen.is_empty()
    }

    /// Reads the data of all tensors of the main graph and the graphs inside it that is in other files.
    ///
    /// # Errors
    /// [`Error::Tensor`] if the data of a tensor cannot be read.
    pub(crate) fn load_all(&mut self, model: &mut Model) -> Result<(), Error> {
        let mut load = |t: &mut Tensor| match is_external(t) {
            true => self.load(t).map_err(|reason| Error::Tensor { tensor: t.name.clone(), reason }),
            false => Ok(()),
        };
        model.graph.iter_mut().try_for_each(|graph| graph.try_each_tensor(&mut load))
    }

    /// Reads the data of a tensor. All sizes are checked before memory is taken.
    fn load(&mut self, t: &mut Tensor) -> Result<(), String> {
        let place = Place::read(t)?;
        let bytes = external_bytes(t)? as u64;
        if let Some(length) = place.length.filter(|&length| length != bytes) {
            return Err(format!("its length is {length} bytes, where its dimensions need {bytes}"));
        }
        let location = place.location.to_string();
        let name = Name(&location);
        let end = place.offset.checked_add(bytes);
        let which = |reason: String| format!("its data is in {name}, which {reason}");
        self.open(&location).map_err(which)?;
        let Some(DataFile { file, size, .. }) = &mut self.last else {
            return Err(which("is not open".into()));
        };
        if end.is_none_or(|end| end > *size) {
            let offset = place.offset;
            return Err(format!("{name} has {size} bytes, too few for {bytes} from byte {offset} on"));
        }
        self.left = self.left.checked_sub(bytes).ok_or_else(|| {
            format!("all tensors together read more than {MOST_READS} times the bytes of their files")
        })?;
        let data = read(file, place.offset, bytes);
        t.raw_data = data.map_err(|e| format!("{name} cannot be read: {e}"))?;
        t.data_location = 0;
        t.external_data = Vec::new();
        Ok(())
    }

    /// Makes the file at `location` the last one. The error continues a sentence about the file.
    fn open(&mut self, location: &str) -> Result<(), String> {
        if self.last.as_ref().is_some_and(|last| last.location == location) {
            return Ok(());
        }
        let path = self.path(location)?;
        let cannot = |e: std::io::Error| format!("cannot be opened: {e}");
        let file = File::open(&path).map_err(cannot)?;
        let size = file.metadata().map_err(cannot)?.len();
        if self.seen.insert(path) {
            self.left = self.left.saturating_add(size.saturating_mul(MOST_READS));
        }
        self.last = Some(DataFile { location: location.to_string(), file, size });
        Ok(())
    }

    /// The path of a regular file below the folder, without links.
    fn path(&mut self, location: &str) -> Result<PathBuf, String> {
        let below = |c| matches!(c, Component::Normal(_) | Component::CurDir);
        if location.is_empty() || !Path::new(location).components().all(below) {
            return Err("is not a path below the model's folder".to_string());
        }
        let cannot = |e: std::io::Error| format!("cannot be found: {e}");
        let root = match &self.root {
            Some(root) => root,
            None => self.root.insert(self.folder.canonicalize().map_err(cannot)?),
        };
        let path = root.join(location).canonicalize().map_err(cannot)?;
        if !path.starts_with(root) {
            return Err("is a link that leaves the model's folder".to_string());
        }
        // Opening a pipe would wait for its writer.
        match std::fs::metadata(&path).map_err(cannot)?.is_file() {
            true => Ok(path),
            false => Err("is no regular file".to_string()),
        }
    }
}

/// Reads `count` bytes from byte `offset` of a file on.
fn read(file: &mut File, offset: u64, count: u64) -> std::io::Result<Vec<u8>> {
    let mut data = Vec::new();
    let capacity = usize::try_from(count).map_err(std::io::Error::other)?;
    data.try_reserve_exact(capacity).map_err(std::io::Error::other)?;
    file.seek(SeekFrom::Start(offset))?;
    let read = file.take(count).read_to_end(&mut data)?;
    if read < capacity { Err(std::io::ErrorKind::UnexpectedEof.into()) } else { Ok(data) }
}

impl<'t> Place<'t> {
    fn read(t: &'t Tensor) -> Result<Place<'t>, String> {
        let value = |key: &str| {
            let mut values = t.external_data.iter().filter(|e| e.key == key).map(|e| e.value.as_str());
            match (values.next(), values.next()) {
                (_, Some(_)) => Err(format!("its external data has two values for `{key}`")),
                (value, None) => Ok(value),
            }
        };
        let number = |key: &str| match value(key)? {
            // The standard's numbers have only digits.
            Some(text) if text.bytes().all(|b| b.is_ascii_digit()) => {
                text.parse().map(Some).map_err(|e| format!("the `{key}` of its external data: {e}"))
            }
            Some(text) => Err(format!("the `{key}` of its external data is {}", Name(text))),
            None => Ok(None),
        };
        let location = value("location")?.ok_or("its external data has no `location`")?;
        Ok(Place { location, offset: number("offset")?.unwrap_or(0), length: number("length")? })
    }
}
