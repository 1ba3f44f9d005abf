//! Runs examples as programs of their own.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The path of an example's program. `cargo test` builds it next to the tests.
fn program(example: &str) -> PathBuf {
    let deps = std::env::current_exe().unwrap();
    let program = deps.parent().unwrap().with_file_name("examples").join(example);
    let program = program.with_extension(std::env::consts::EXE_EXTENSION);
    let modified = |path: &Path| path.metadata().and_then(|m| m.modified());
    let built =
        modified(&program).unwrap_or_else(|e| panic!("{}: {e}; build it with --examples", program.display()));
    assert!(
        built >= modified(&source(example)).unwrap(),
        "{example} is older than its source: build with --examples"
    );
    program
}

/// The folder of the package whose test runs.
fn package() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo runs the test").into()
}

fn source(example: &str) -> PathBuf {
    package().join("examples").join(example).with_extension("rs")
}

fn output(example: &str, args: &[&str]) -> Output {
    Command::new(program(example)).args(args).env("RUST_BACKTRACE", "0").output().unwrap()
}

/// Runs an example and returns what it prints.
pub fn run(example: &str, args: &[&str]) -> String {
    let output = output(example, args);
    assert!(output.status.success(), "{example} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs an example that must fail, and returns what it prints on stderr.
pub fn failure(example: &str, args: &[&str]) -> String {
    let output = output(example, args);
    assert!(!output.status.success(), "{example} {args:?}");
    assert_eq!(output.stdout, b"", "{example} {args:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// The names of the examples of the package whose test runs, sorted. Each example must show its command in its
/// comment: `cargo`, followed by its own name.
pub fn commands(cargo: &str) -> Vec<String> {
    let files = std::fs::read_dir(package().join("examples")).unwrap();
    let files = files.map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = files.filter_map(|f| Some(f.strip_suffix(".rs")?.to_string())).collect();
    names.sort();
    for name in &names {
        let text = std::fs::read_to_string(source(name)).unwrap();
        let command = format!("//! {cargo} {name}\n");
        assert!(text.contains(&command), "{name} does not name {command:?}");
    }
    names
}
