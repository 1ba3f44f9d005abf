//! Builds the programs of revisions of this repository, each of them once.

use anyhow::{Context, Result, bail};
use rnnpack_cli::perf::machine::git;
use rnnpack_cli::perf::program::{Program, id_of};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The program at a path, or else the program of a revision.
pub(crate) fn find(name: &str, folder: &Path) -> Result<Program> {
    if Path::new(name).is_file() {
        return Program::at(name);
    }
    let commit = git(&["rev-parse", "--verify", "--quiet", &format!("{name}^{{commit}}")]);
    let Ok(commit) = commit else { bail!("{name} is neither a program nor a revision of this repository") };
    let path = build(&commit, folder).with_context(|| format!("cannot build {name}"))?;
    Ok(Program { name: format!("{name} ({:.12})", commit), path })
}

/// What a build depends on in addition to the revision: the compiler and its flags.
fn toolchain() -> Result<String> {
    let version = rustc("-vV")?;
    let flags = ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS"].map(std::env::var_os);
    Ok(id_of(&(version, flags)))
}

/// Builds a revision once, in its own work tree. All revisions share the built dependencies.
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
    // Without this file git would find the surrounding repository, and would overwrite its files.
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
    // The command is a package of its own; in older revisions it is a feature of the root package.
    let package = match tree.join("cli/Cargo.toml").is_file() {
        true => ["--package", "rnnpack-cli"],
        false => ["--features", "cli"],
    };
    cargo.args(["build", "--quiet", "--release", "--locked", "--bin", "rnnpack"]).args(package);
    cargo.current_dir(&tree).env("CARGO_TARGET_DIR", &target).env_remove("RNNPACK_PLANTED_SLOWDOWN");
    let status = cargo.status().context("cannot run cargo")?;
    if !status.success() {
        bail!("cargo build ended with {status}");
    }
    let built = target.join("release").join(format!("rnnpack{}", std::env::consts::EXE_SUFFIX));
    // The copy gets its final name only when it is complete.
    let partial = folder.join("partial");
    std::fs::copy(&built, &partial).with_context(|| format!("cannot copy {}", built.display()))?;
    std::fs::rename(&partial, &program)?;
    Ok(program)
}

/// The compiler's answer to `--version` or `-vV`.
pub(crate) fn rustc(question: &str) -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let out = Command::new(rustc).arg(question).output().context("cannot run rustc")?;
    let version = String::from_utf8_lossy(&out.stdout).trim().to_owned();
    if !out.status.success() || version.is_empty() {
        bail!("rustc {question} ended with {}", out.status);
    }
    Ok(version)
}
