//! Tests the files and exit codes of `rnnpack perf`, in any folder, and that no measurement is lost.

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const CASE: &str = "step/rnn/1,1,128,128/f32/1";

fn perf(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rnnpack"));
    command.arg("perf").args(args).env_remove("RNNPACK_ISA").current_dir(env!("CARGO_TARGET_TMPDIR"));
    command
}

fn run(args: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = perf(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

/// A new empty folder for the test `name`.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("perf-{name}"));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn lines(path: &Path) -> Vec<Value> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_run_is_recorded_with_its_limits_and_reported_as_a_page() {
    let folder = folder("record");
    let (ledger, page) = (folder.join("ledger.jsonl"), folder.join("page.html"));
    for _ in 0..2 {
        let args = ["record", "--case", "step/", "--seconds", "0.02", "--ledger", text(&ledger), "--json"];
        let (code, stdout, stderr) = run(&args);
        assert_eq!(code, Some(0), "{stderr}");
        let report: Value = serde_json::from_str(&stdout).unwrap();
        let cases = report["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 4);
        for case in cases {
            let of = |key: &str| case[key].as_f64().unwrap();
            assert!(of("min_ns") > 0.0 && of("median_ns") >= of("min_ns") && of("calls") >= 3.0, "{case}");
            assert!(of("limit_percent") > 0.0 && of("flops") > 0.0, "{case}");
        }
    }
    let records = lines(&ledger);
    assert_eq!(
        records.iter().filter(|r| r["kind"] == "limits" && r["bandwidth"][0]["level"] == "L1").count(),
        2
    );
    assert_eq!(records.iter().filter(|r| r["kind"] == "end").count(), 2);
    assert!(records.iter().all(|r| r["v"] == 1 && !r["cpu"].as_str().unwrap().is_empty()));

    let (code, _, stderr) = run(&["report", "--ledger", text(&ledger), "--output", text(&page)]);
    assert_eq!(code, Some(0), "{stderr}");
    let page = fs::read_to_string(page).unwrap();
    assert!(
        page.contains(CASE) && page.contains("<h2>Roofline") && page.contains("2 runs on"),
        "{page:.2000}"
    );
}

#[test]
fn an_empty_folder_without_git_and_cargo_is_enough() {
    let folder = tempfile::tempdir().unwrap();
    let alone = |args: &[&str]| {
        let output = perf(args).current_dir(&folder).env("PATH", "").output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}: {stderr}");
        (String::from_utf8(output.stdout).unwrap(), stderr)
    };
    alone(&["record", "--case", CASE, "--seconds", "0.02"]);
    let (_, stderr) = alone(&["record", "--case", CASE, "--case", "model/", "--seconds", "0.02"]);
    assert!(stderr.contains("model/gtcrn/1 is left out"), "{stderr}");
    alone(&["report"]);
    let records = lines(&folder.path().join("rnnpack-perf.jsonl"));
    assert!(records.len() == 6 && records.iter().all(|record| record.get("commit").is_none()), "{records:?}");
    let page = fs::read_to_string(folder.path().join("rnnpack-perf.html")).unwrap();
    assert!(page.contains(CASE) && page.contains("no revision"), "{page:.2000}");
    let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().file_name()).collect();
    files.sort();
    assert_eq!(files, ["rnnpack-perf.html", "rnnpack-perf.jsonl"]);
}

#[test]
fn damaged_lines_are_named_and_nothing_is_lost() {
    let folder = folder("damaged");
    let ledger = folder.join("ledger.jsonl");
    let record = ["record", "--case", CASE, "--seconds", "0.02", "--ledger", text(&ledger)];
    assert_eq!(run(&record).0, Some(0));
    let whole = fs::read_to_string(&ledger).unwrap();
    let damaged = format!("{whole}not a record\n{}", &whole[..whole.len() / 3]);
    fs::write(&ledger, &damaged).unwrap();
    let (code, _, stderr) = run(&record);
    assert_eq!(code, Some(0), "{stderr}");
    let first = whole.lines().count() + 1;
    assert!(stderr.contains(&format!("line {first} is skipped")), "{stderr}");
    assert!(stderr.contains("nothing was removed"), "{stderr}");
    assert!(fs::read_to_string(&ledger).unwrap().starts_with(&damaged));
}

#[test]
fn a_program_is_compared_with_itself() {
    let folder = folder("itself");
    let this = env!("CARGO_BIN_EXE_rnnpack");
    let counts = ["--case", CASE, "--launches", "4", "--turns", "3", "--folder", text(&folder), "--json"];
    let (code, stdout, stderr) = run(&[&["compare", this][..], &counts].concat());
    let report: Value = serde_json::from_str(&stdout).unwrap();
    // Equal programs may differ by chance, at a known rate. The exit code must agree with the report.
    let slower = report["slower"].as_i64().unwrap();
    assert_eq!(code, Some(i32::from(slower > 0)), "{stdout}{stderr}");
    assert_eq!(report["complete"], Value::Bool(true));
    let median = &report["cases"][0]["median"];
    let of = |key: &str| median[key].as_f64().unwrap();
    assert!(of("low") <= of("ratio") && of("ratio") <= of("high"), "{median}");
    // The measurements are removed when the comparison is complete.
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
}

#[test]
#[cfg(unix)]
fn an_interrupted_comparison_keeps_what_it_measured_and_goes_on() {
    let folder = folder("interrupted");
    let this = env!("CARGO_BIN_EXE_rnnpack");
    let compare = |launches: &str| {
        let args =
            ["--case", CASE, "--launches", launches, "--turns", "2", "--folder", text(&folder), "--json"];
        perf(&[&["compare", this][..], &args].concat())
    };
    let child = compare("1000").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let samples = || fs::read_dir(&folder).unwrap().next().map(|entry| entry.unwrap().path());
    let measured = || samples().map_or(0, |path| fs::read_to_string(path).unwrap().lines().count());
    let start = Instant::now();
    while measured() < 4 && start.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("interrupted: run the same command again to continue"), "{stderr}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["complete"], Value::Bool(false));
    let kept = measured();
    assert!(kept >= 4, "{kept} launches were kept");

    // It asks for fewer launches than there are, so nothing is measured again.
    let output = compare("3").output().unwrap();
    assert!(matches!(output.status.code(), Some(0 | 1)), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(samples(), None);
}

/// Runs git in `folder`, which is outside of this repository.
fn git(folder: &Path, args: &[&str]) {
    let identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"];
    let out = Command::new("git").arg("-C").arg(folder).args(identity).args(args).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn an_interrupted_recording_goes_on_though_the_ledger_is_part_of_the_repository() {
    let folder = folder("resumed");
    let ledger = folder.join("rnnpack-perf.jsonl");
    fs::write(&ledger, "").unwrap();
    fs::write(folder.join("source.rs"), "").unwrap();
    git(&folder, &["init", "--quiet"]);
    git(&folder, &["add", "."]);
    git(&folder, &["commit", "--quiet", "--message", "a"]);
    let record = || {
        let output =
            perf(&["record", "--case", "step/", "--seconds", "0.02", "--json"]).current_dir(&folder).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let first = record();
    assert_eq!(first["complete"], Value::Bool(true));
    // Restores the ledger as it was after two of the four cases.
    let lines: Vec<String> = fs::read_to_string(&ledger).unwrap().lines().map(str::to_owned).collect();
    fs::write(&ledger, lines[..3].join("\n") + "\n").unwrap();
    let second = record();
    assert_eq!((&second["resumed"], &second["complete"]), (&Value::Bool(true), &Value::Bool(true)));
    assert_eq!(second["cases"].as_array().unwrap().len(), 2);
    assert_eq!(second["origin"], first["origin"]);

    // If the source differs, no recording is resumed.
    fs::write(&ledger, lines[..3].join("\n") + "\n").unwrap();
    fs::write(folder.join("source.rs"), "changed").unwrap();
    let third = record();
    assert_eq!(third["resumed"], Value::Bool(false));
    assert!(third["origin"]["commit"].as_str().unwrap().ends_with('+'), "{third}");
}

#[test]
fn what_cannot_be_compared_recorded_or_reported_is_refused_with_what_to_do() {
    let folder = folder("refused");
    let ledger = folder.join("none.jsonl");
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    for (args, message) in [
        (&["compare", "no-such-thing"][..], "no-such-thing is not a program"),
        (&["compare", text(&manifest), "--case", CASE, "--folder", text(&folder)], "cannot start"),
        (
            &["compare", "/bin/true", "--case", CASE, "--folder", text(&folder)],
            "older than its command `perf`",
        ),
        (&["compare", text(&manifest), "--case", "warp"], "no case has this in its name"),
        (&["record", "--case", "warp"], "no case has this in its name"),
        (&["report", "--ledger", text(&ledger)], "make some with `rnnpack perf record`"),
        (&["worker", "warp"], "no case is named warp"),
    ] {
        let (code, stdout, stderr) = run(args);
        assert!(stderr.contains(message), "{message:?} is not in {stderr:?}");
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{stderr}");
    }
}
