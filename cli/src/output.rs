//! Writes output files whole or not at all.

use anyhow::{Context, Result};
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// The content of a file, written but not yet in its place. If it is dropped, nothing is left of it.
pub(crate) struct Prepared {
    path: PathBuf,
    content: Content,
}

enum Content {
    /// A file in the same folder, which is renamed into its place.
    File(NamedTempFile),
    /// The bytes for something that is no file and must stay what it is, such as a pipe.
    Bytes(Vec<u8>),
}

impl Prepared {
    /// Writes the content of the file at `path` to a temporary place.
    pub(crate) fn new(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<Prepared> {
        let prepare = || -> Result<Prepared> {
            // A link stays, and the file that it names is replaced.
            let place = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
            let special = fs::metadata(&place).is_ok_and(|m| !m.is_file() && !m.is_dir());
            let content = if special {
                let mut bytes = Vec::new();
                write(&mut bytes)?;
                Content::Bytes(bytes)
            } else {
                let mut file = temporary(&place)?;
                let mut to = BufWriter::new(&mut file);
                write(&mut to)?;
                to.flush()?;
                drop(to);
                Content::File(file)
            };
            Ok(Prepared { path: place, content })
        };
        prepare().with_context(|| cannot_write(path))
    }

    /// Puts the file into its place. A file that was there before is replaced.
    pub(crate) fn publish(self) -> Result<()> {
        let Prepared { path, content } = self;
        let published = match content {
            Content::File(file) => file.persist(&path).map(drop).map_err(|e| e.error),
            Content::Bytes(bytes) => {
                File::options().write(true).open(&path).and_then(|mut file| file.write_all(&bytes))
            }
        };
        published.with_context(|| cannot_write(&path))
    }
}

/// Writes the file at `path`, whole or not at all.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    Prepared::new(path, |to| Ok(to.write_all(bytes)?))?.publish()
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write {}", path.display())
}

/// A temporary file in the folder of `path`, with the permissions of a new file.
fn temporary(path: &Path) -> std::io::Result<NamedTempFile> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.prefix(".rnnpack-").tempfile_in(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::bail;

    /// The names in a folder.
    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_that_fails_half_way_leaves_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("y.npy");
        write(&path, b"old").unwrap();
        let failed = Prepared::new(&path, |to| {
            to.write_all(b"ne")?;
            bail!("no space")
        });
        assert!(failed.is_err_and(|e| e.to_string().contains("cannot write")));
        // Prepared, but not published.
        drop(Prepared::new(&path, |to| Ok(to.write_all(b"new")?)).unwrap());
        assert_eq!((fs::read(&path).unwrap(), names(folder.path())), (b"old".to_vec(), vec!["y.npy".into()]));
        write(&path, b"new").unwrap();
        assert_eq!((fs::read(&path).unwrap(), names(folder.path())), (b"new".to_vec(), vec!["y.npy".into()]));
    }

    #[cfg(unix)]
    #[test]
    fn links_and_devices_stay() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let [file, link] = ["file", "link"].map(|name| folder.path().join(name));
        write(&file, b"old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write(&link, b"new").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        // The permissions are those of any new file, not those of a temporary one.
        let other = folder.path().join("other");
        fs::write(&other, b"").unwrap();
        let mode = |path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&file), mode(&other));
        write(Path::new("/dev/null"), b"gone").unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }
}
