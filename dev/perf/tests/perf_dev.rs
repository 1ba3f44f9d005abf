//! Tests that the tool refuses what it cannot do and says what to do instead, and that it can be under test itself.

use std::process::{Command, Output};

fn run(args: &[&str]) -> (Option<i32>, String, String) {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let mut command = Command::new(env!("CARGO_BIN_EXE_rnnpack-perf-dev"));
    let output = command.args(args).env_remove("RNNPACK_ISA").current_dir(root).output();
    let Output { status, stdout, stderr } = output.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn what_cannot_be_done_is_refused_with_what_to_do() {
    for (args, message) in [
        (&["compare", "no-such-thing"][..], "neither a program nor a revision"),
        (&["compare", "HEAD", "--case", "warp"], "no case has this in its name"),
        (&["criterion", "no/such/folder"], "run `cargo bench` first"),
        (&["counts", "--case", "warp"], "matches none of the counted cases"),
        (&["perf", "worker", "warp"], "no case is named warp"),
    ] {
        let (code, stdout, stderr) = run(args);
        assert!(stderr.contains(message), "{message:?} is not in {stderr:?}");
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{stderr}");
    }
}

#[test]
fn its_cases_are_those_of_the_command() {
    let (code, stdout, stderr) = run(&["perf", "record", "--list"]);
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(stdout.lines().collect::<Vec<_>>(), rnnpack_cli::perf::names());
}
