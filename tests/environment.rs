//! Tests that every share of a call computes in the same floating-point environment, whatever environment the pool's threads
//! and the caller have. Each order of events runs in a process of its own, since a process starts its pool once.
#![cfg(feature = "rayon")]

use rnnpack::{Cell, Direction, LayerScales, LayerWeights, Scale, Scratch, Sequence, Shape};
use rnnpack::{Stack, StackScratch, Target, Threads, UnfusedLayer, WeightType};
use rnnpack_dev::environment::{STRANGE, control_word, inside};
use rnnpack_dev::forms::forms;
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

/// The bytes of a layer, and its weights as it stores them.
fn packed(weights: &LayerWeights<'_>) -> (Vec<u8>, Vec<u32>) {
    let bytes = weights.to_bytes(Target::by_name("portable").unwrap()).unwrap();
    let rows = (0..weights.cell().gates()).flat_map(|gate| (0..9).map(move |unit| (gate, unit)));
    let stored = weights.directions().iter().flat_map(|direction| {
        rows.clone().flat_map(|(g, u)| direction.stored_w(g, u).chain(direction.stored_r(g, u)))
    });
    (bytes, stored.map(f32::to_bits).collect())
}

/// Checks that weights are packed to the same bytes in every environment.
fn check_packing(of: &str, pack: impl Fn() -> (Vec<u8>, Vec<u32>)) {
    let right = pack();
    for &(name, strange) in STRANGE {
        let (bytes, stored) = inside(strange, &pack);
        assert!(bytes == right.0, "other bytes of {of} where a thread {name}");
        assert!(stored == right.1, "other weights of {of} where a thread {name}");
    }
}

#[test]
fn weights_of_every_type_are_packed_to_the_same_bytes_in_every_environment() {
    let shape = Shape { input: 11, hidden: 9, direction: Direction::Bidirectional };
    // The smaller weights are subnormal in f16, or nearly so in f32.
    for (cell, scale) in forms().into_iter().flat_map(|cell| [1.0, 1e-6, 1e-36].map(|scale| (cell, scale))) {
        for weights in WeightType::ALL {
            let contents = Case { weights, scale, ..Case::new(cell, shape, 1, 1, 3) }.contents();
            check_packing(weights.name(), || packed(&contents.weights()));
        }
    }
}

#[test]
fn weights_with_given_scales_are_taken_and_packed_to_the_same_bytes_in_every_environment() {
    let shape = Shape { input: 11, hidden: 9, direction: Direction::Bidirectional };
    for (zero_point, size) in [(0, 0.013), (-7, 0.7), (128, 1e-30), (3, 1e-40)] {
        let mut contents = Case::new(Cell::lstm(), shape, 1, 1, 3).contents();
        let scales: Vec<f32> = (0..2 * 4 * 9).map(|row| size * (1.0 + row as f32 / 100.0)).collect();
        for (weights, columns) in [(&mut contents.w, 11), (&mut contents.r, 9)] {
            for (i, weight) in weights.iter_mut().enumerate() {
                let scale = Scale { scale: scales[i / columns], zero_point };
                *weight = scale.weight((i * 37 % 256) as i32 - 128);
            }
        }
        let points = [zero_point; 2];
        let scales = LayerScales { w: &scales, r: &scales, w_zero_points: &points, r_zero_points: &points };
        check_packing("given scales", || packed(&contents.weights().with_scales(scales).unwrap()));
    }
}
