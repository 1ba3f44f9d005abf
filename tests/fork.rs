//! Tests that a child process computes after a fork, whatever its parent did with the pool before.
#![cfg(all(feature = "rayon", unix))]

use rnnpack::{Layer, LayerWeights, Sequence, Threads};
use std::process::Command;
use std::time::{Duration, Instant};

/// The variable that tells a child process which order of events to try.
const ORDER: &str = "RNNPACK_TEST_ORDER";

fn layer() -> Layer {
    let (w, r) = (vec![0.01; 4 * 96 * 64], vec![0.02; 4 * 96 * 96]);
    LayerWeights::lstm(64, 96).w(&w).r(&r).pack().unwrap()
}

fn run(layer: &Layer, threads: Threads) -> Vec<f32> {
    let x: Vec<f32> = (0..40 * 24 * 64).map(|i| (i % 100) as f32 / 100.0).collect();
    let mut y = vec![0.0; 40 * 24 * 96];
    layer.stream(24).unwrap().run(Sequence::dense(&x, &mut y).threads(threads)).unwrap();
    y
}

/// Forks, and lets the child run `child`. The result is the child's exit code: 0 if it returned true.
fn in_child(child: impl FnOnce() -> bool) -> i32 {
    // SAFETY: the child only calls the layer, which takes no lock that another thread may have held, and exits.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        let code = i32::from(!child());
        // SAFETY: it ends the process without running what the parent will run.
        unsafe { libc::_exit(code) }
    }
    let (mut status, start) = (0, Instant::now());
    // SAFETY: `status` is valid for writing.
    while unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG) } == 0 {
        if start.elapsed() > Duration::from_secs(60) {
            // SAFETY: the process is our own child.
            unsafe { libc::kill(pid, libc::SIGKILL) };
            panic!("the child hangs");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(libc::WIFEXITED(status), "the child was killed: {status:x}");
    libc::WEXITSTATUS(status)
}

#[test]
fn child() {
    let Ok(order) = std::env::var(ORDER) else { return };
    let layer = layer();
    let right = run(&layer, Threads::Caller);
    let on_the_pool = || run(&layer, Threads::Pool) == right;
    match order.as_str() {
        "the parent has used the pool" => assert!(on_the_pool()),
        "the parent's program has started the pool" => {
            rayon::ThreadPoolBuilder::new().build_global().unwrap();
        }
        "the parent has no pool" => {}
        "a worker forks" => {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
            assert!(pool.install(on_the_pool));
            assert_eq!(pool.install(|| in_child(on_the_pool)), 0);
        }
        "the child has a pool of its own" => {
            assert!(on_the_pool());
            let own = || rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap().install(on_the_pool);
            assert_eq!(in_child(own), 0);
        }
        order => panic!("no order is called {order}"),
    }
    assert_eq!(in_child(on_the_pool), 0);
    assert_eq!(in_child(|| in_child(on_the_pool) == 0), 0);
    assert!(on_the_pool(), "the parent goes on");
}

#[test]
fn a_call_on_the_pool_of_a_forked_process_has_the_same_bits() {
    for order in [
        "the parent has used the pool",
        "the parent's program has started the pool",
        "the parent has no pool",
        "a worker forks",
        "the child has a pool of its own",
    ] {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "child", "--nocapture"]).env(ORDER, order).env("RAYON_NUM_THREADS", "3");
        let output = child.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{order}: {said}{}", String::from_utf8_lossy(&output.stderr));
        assert!(said.contains("1 passed"), "{order}: {said}");
    }
}
