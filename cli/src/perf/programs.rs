//! The programs to compare: files, or revisions that are built.

use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
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
        Ok(id_of(&bytes))
    }

    /// The names of its cases.
    ///
    /// # Errors
    /// Where it is a program without the command `perf`.
    pub(crate) fn cases(&self) -> Result<BTreeSet<String>> {
        let out = Command::new(&self.path).args(["perf", "record", "--list", "--json"]).output();
        let out = out.with_context(|| format!("cannot start {}", self.path.display()))?;
        let list =
            serde_json::from_slice::<serde_json::Value>(&out.stdout).ok().filter(|_| out.status.success());
        let names = list.as_ref().and_then(|list| list["cases"].as_array());
        let Some(names) = names else {
            bail!(
                "{} has no `perf record --list`: it is no rnnpack, or older than its command `perf`",
                self.name
            )
        };
        Ok(names.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect())
    }
}

/// A short name for what `value` is.
pub(crate) fn id_of(value: &impl Hash) -> String {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
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

/// What a build depends on beside the revision: the compiler and its flags.
fn toolchain() -> Result<String> {
    let version = rustc("-vV")?;
    let flags = ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS"].map(std::env::var_os);
    Ok(id_of(&(version, flags)))
}

/// Builds a revision, in a work tree of its own, once. The crates it needs are built once for all revisions.
fn build(commit: &str, folder: &Path) -> Result<PathBuf> {
    std::fs::create_dir_all(folder)?;
    let folder = folder.canonicalize()?;
    let toolchain = toolchain()?;
    let program = folder.join(format!("rnnpack-{commit:.12}-{toolchain:.8}{}", std::env::consts::EXE_SUFFIX));
    if program.is_file() {
        return Ok(program);
    }
    let tree = folder.join("tree");
    let text = |path: &Path| path.to_str().map(str::to_owned).context("a path that is not UTF-8");
    // Without this file git would find the repository around it, and force its own files away.
    if tree.join(".git").is_file() {
        git(&["-C", &text(&tree)?, "checkout", "--quiet", "--force", "--detach", commit])?;
    } else {
        if tree.exists() {
            std::fs::remove_dir_all(&tree).with_context(|| format!("cannot remove {}", tree.display()))?;
        }
        git(&["worktree", "prune"])?;
        git(&["worktree", "add", "--quiet", "--force", "--detach", &text(&tree)?, commit])?;
    }
    eprintln!("building {commit:.12}");
    let target = folder.join("target");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--release", "--locked", "--features", "cli", "--bin", "rnnpack"]);
    cargo.current_dir(&tree).env("CARGO_TARGET_DIR", &target).env_remove("RNNPACK_PLANTED_SLOWDOWN");
    let status = cargo.status().context("cannot run cargo")?;
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

/// What the compiler says of itself, asked by `--version` or `-vV`.
pub(crate) fn rustc(question: &str) -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let out = Command::new(rustc).arg(question).output().context("cannot run rustc")?;
    let version = String::from_utf8_lossy(&out.stdout).trim().to_owned();
    if !out.status.success() || version.is_empty() {
        bail!("rustc {question} ended with {}", out.status);
    }
    Ok(version)
}

/// What git prints.
///
/// # Errors
/// Where it fails, with its words.
pub(crate) fn git(args: &[&str]) -> Result<String> {
    let mut git = Command::new("git");
    // Those of a hook that this runs in are about another work tree.
    git.args(args).env_remove("GIT_DIR").env_remove("GIT_WORK_TREE").env_remove("GIT_INDEX_FILE");
    let out = git.output().context("cannot run git")?;
    if !out.status.success() {
        bail!("git {}: {}", args.join(" "), String::from_utf8_lossy(&out.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&out.stdout).trim().to_owned())
}
