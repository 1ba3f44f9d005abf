//! Tests that every share of a call computes in the same floating-point environment, whatever environment the pool's threads
//! and the caller have. Each order of events runs in a process of its own, since a process starts its pool once.
#![cfg(feature = "rayon")]

use rnnpack::{Cell, Direction, Scratch, Sequence, Shape, Stack, StackScratch, Threads, UnfusedLayer};
use rnnpack_dev::environment::{STRANGE, control_word, inside};
use rnnpack_dev::{Case, Contents};
use std::process::Command;

/// The variable that tells a child process which order of events to try.
const ORDER: &str = "RNNPACK_TEST_ORDER";

/// A call with work for several threads, of numbers that rounding and subnormals change.
fn case(input: usize) -> Case {
    let shape = Shape { input, hidden: 96, direction: Direction::Bidirectional };
    Case::new(Cell::lstm(), shape, 40, 24, 7)
}

fn bits(numbers: &[f32]) -> Vec<u32> {
    numbers.iter().map(|x| x.to_bits()).collect()
}

/// The bits of a layer, and of a stack of layers, in a call on these threads.
fn results(contents: &[Contents; 2], threads: Threads) -> [Vec<u32>; 2] {
    let [below, above] =
        contents.each_ref().map(|contents| rnnpack::Layer::new(&contents.weights()).unwrap());
    let Case { time, batch, .. } = case(64);
    let x = &contents[0].x;
    let mut y = vec![0.0; time * batch * 2 * 96];
    let mut state = contents[0].state(&below, batch);
    below.forward(Sequence::dense(x, &mut y).threads(threads), &mut state, &mut Scratch::new()).unwrap();
    let of_layer = bits(&[&*y, state.h(), state.c()].concat());
    let stack = Stack::new(vec![below, above]).unwrap();
    let mut state = stack.new_state(batch).unwrap();
    stack.forward(Sequence::dense(x, &mut y).threads(threads), &mut state, &mut StackScratch::new()).unwrap();
    [of_layer, bits(&y)]
}

/// Starts the pool in one environment and calls in another, in the order that the parent process names.
#[test]
fn child() {
    let Ok(order) = std::env::var(ORDER) else { return };
    let contents = [case(64).contents(), case(2 * 96).contents()];
    let right = results(&contents, Threads::Caller);
    for &(name, strange) in STRANGE {
        let in_strange = |threads| inside(strange, || results(&contents, threads));
        let of = |build: rayon::ThreadPoolBuilder| build.num_threads(3).build().unwrap();
        match order.as_str() {
            // The pool's threads inherit the environment of the thread that starts it.
            "strange pool" => {
                assert_eq!(in_strange(Threads::Pool), right, "{name}");
                assert_eq!(results(&contents, Threads::Pool), right, "after a call that {name}");
            }
            "strange caller" => {
                assert_eq!(results(&contents, Threads::Pool), right, "before a call that {name}");
                assert_eq!(in_strange(Threads::Pool), right, "{name}");
            }
            "strange own pool" => {
                let pool = inside(strange, || of(rayon::ThreadPoolBuilder::new()));
                assert_eq!(pool.install(|| results(&contents, Threads::Pool)), right, "{name}");
            }
            "own pool, strange caller" => {
                let pool = of(rayon::ThreadPoolBuilder::new());
                assert_eq!(pool.install(|| in_strange(Threads::Pool)), right, "{name}");
            }
            order => panic!("no order is called {order}"),
        }
    }
}

#[test]
fn a_share_has_the_same_bits_on_a_pool_that_was_started_in_another_environment() {
    for order in ["strange pool", "strange caller", "strange own pool", "own pool, strange caller"] {
        let mut child = Command::new(std::env::current_exe().unwrap());
        let child =
            child.args(["--exact", "child", "--nocapture"]).env(ORDER, order).env("RAYON_NUM_THREADS", "3");
        let output = child.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{order}: {said}{}", String::from_utf8_lossy(&output.stderr));
        assert!(said.contains("1 passed"), "{order}: {said}");
    }
}

#[test]
fn layers_of_doubles_have_the_same_bits_in_every_environment() {
    let contents = case(64).contents();
    let layer = UnfusedLayer::new(&contents.weights()).unwrap();
    let run = || {
        let mut s = layer.stream(24).unwrap();
        let mut y = vec![0.0; 40 * 24 * 2 * 96];
        s.forward(&contents.x, &mut y).unwrap();
        bits(&y)
    };
    let right = run();
    for &(name, strange) in STRANGE {
        assert_eq!(inside(strange, run), right, "{name}");
    }
}

#[test]
fn a_refused_call_leaves_the_environment_as_it_was() {
    let contents = case(64).contents();
    let layer = rnnpack::Layer::new(&contents.weights()).unwrap();
    let mut state = layer.new_state(24).unwrap();
    let mut scratch = Scratch::new();
    for &(_, strange) in STRANGE {
        // `inside` compares the environment before and after.
        let stop = || true;
        let sequence = Sequence::input(&contents.x).stop(&stop);
        assert!(inside(strange, || layer.forward(sequence, &mut state, &mut scratch)).is_err());
        assert!(inside(strange, || layer.step(&[], &mut state, &mut [], &mut scratch)).is_err());
    }
}

#[test]
fn the_question_whether_to_stop_is_asked_in_the_default_environment() {
    let contents = case(64).contents();
    let weights = contents.weights().with_subnormals(rnnpack::Subnormals::Flush).unwrap();
    let layer = rnnpack::Layer::new(&weights).unwrap();
    let mut state = layer.new_state(24).unwrap();
    let default = control_word();
    let stop = || {
        assert_eq!(control_word(), default);
        false
    };
    layer.forward(Sequence::input(&contents.x).stop(&stop), &mut state, &mut Scratch::new()).unwrap();
}
