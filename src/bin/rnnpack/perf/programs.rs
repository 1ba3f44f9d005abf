//! The programs to compare: files, or revisions that are built.

use anyhow::{Context, Result, bail};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program that has the command `perf worker`.
pub(crate) struct Program {
    /// As the user named it.
    pub(crate) name: String,
    pub(crate) path: PathBuf,
}

impl Program {
    /// This one.
    pub(crate) fn this() -> Result<Program> {
        Ok(Program { name: "this program".to_owned(), path: std::env::current_exe()? })
    }

    /// A name for its contents.
    pub(crate) fn id(&self) -> Result<String> {
        let bytes =
            std::fs::read(&self.path).with_context(|| format!("cannot read {}", self.path.display()))?;
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        Ok(format!("{:016x}", hasher.finish()))
    }
}

/// The program of a path, or else of a revision.
pub(crate) fn find(name: &str, folder: &Path) -> Result<Program> {
    let path = Path::new(name);
    if path.is_file() {
        return Ok(Program { name: name.to_owned(), path: path.canonicalize()? });
    }
    let commit = git(&["rev-parse", "--verify", "--quiet", &format!("{name}^{{commit}}")]);
    let Ok(commit) = commit else { bail!("{name} is neither a program nor a revision of this repository") };
    let path = build(&commit, folder).with_context(|| format!("cannot build {name}"))?;
    Ok(Program { name: format!("{name} ({:.12})", commit), path })
}

/// Builds a revision, in a work tree of its own, once. The crates it needs are built once for all revisions.
fn build(commit: &str, folder: &Path) -> Result<PathBuf> {
    std::fs::create_dir_all(folder)?;
    let folder = folder.canonicalize()?;
    let program = folder.join(format!("rnnpack-{commit:.12}{}", std::env::consts::EXE_SUFFIX));
    if program.is_file() {
        return Ok(program);
    }
    let tree = folder.join("tree");
    let text = |path: &Path| path.to_str().map(str::to_owned).context("a path that is not UTF-8");
    if tree.is_dir() {
        git(&["-C", &text(&tree)?, "checkout", "--quiet", "--force", "--detach", commit])?;
    } else {
        git(&["worktree", "prune"])?;
        git(&["worktree", "add", "--quiet", "--force", "--detach", &text(&tree)?, commit])?;
    }
    eprintln!("building {commit:.12}");
    let target = folder.join("target");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--release", "--locked", "--features", "cli", "--bin", "rnnpack"]);
    let status =
        cargo.current_dir(&tree).env("CARGO_TARGET_DIR", &target).status().context("cannot run cargo")?;
    if !status.success() {
        bail!("cargo build ended with {status}");
    }
    let built = target.join("release").join(format!("rnnpack{}", std::env::consts::EXE_SUFFIX));
    // Under its name only when it is whole.
    let partial = folder.join("partial");
    std::fs::copy(&built, &partial).with_context(|| format!("cannot copy {}", built.display()))?;
    std::fs::rename(&partial, &program)?;
    Ok(program)
}

fn git(args: &[&str]) -> Result<String> {
    let out = Command::new("git").args(args).output().context("cannot run git")?;
    if !out.status.success() {
        bail!("git {}: {}", args.join(" "), String::from_utf8_lossy(&out.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&out.stdout).trim().to_owned())
}
