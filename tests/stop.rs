//! Tests what a stopped call leaves behind, for layers, stacks and layers of doubles.

use rnnpack::{Error, LayerF64, LayerWeights, Network, NetworkState, Sequence, Stack, Stream, Threads};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

const INPUT: usize = 8;
const HIDDEN: usize = 40;
const BATCH: usize = 9;
const TIME: usize = 400;

fn lstm(input: usize) -> rnnpack::Layer {
    let (w, r) = (vec![0.1; 2 * 4 * HIDDEN * input], vec![-0.1; 2 * 4 * HIDDEN * HIDDEN]);
    LayerWeights::lstm(input, HIDDEN).bidirectional().w(&w).r(&r).pack().unwrap()
}

/// Stops a call of a stream at each of its first questions, and compares the state before and after.
fn stops_and_goes_on<N: Network>(mut stream: Stream<N>, number: impl Fn(f32) -> N::Number, threads: Threads)
where
    N::State: NetworkState,
{
    let x: Vec<N::Number> = (0..TIME * BATCH * INPUT).map(|i| number((i % 17) as f32 / 17.0)).collect();
    let mut y = vec![N::Number::default(); TIME * BATCH * 2 * HIDDEN];
    stream.forward(&x[..5 * BATCH * INPUT], &mut y[..5 * BATCH * 2 * HIDDEN]).unwrap();
    let before = stream.state().clone();
    let questions = AtomicUsize::new(0);
    let count = || {
        questions.fetch_add(1, Relaxed);
        false
    };
    stream.run(Sequence::dense(&x, &mut y).threads(threads).stop(&count)).unwrap();
    let (after, asked) = (stream.state().clone(), questions.load(Relaxed));
    assert!(asked >= 2, "the call was asked {asked} times");
    assert!(after != before);

    for at in [0, 1, asked / 2, asked - 1] {
        *stream.state_mut() = before.clone();
        let questions = AtomicUsize::new(0);
        let stop = || questions.fetch_add(1, Relaxed) >= at;
        let stopped = stream.run(Sequence::dense(&x, &mut y).threads(threads).stop(&stop));
        assert!(matches!(stopped, Err(Error::Stopped)), "at question {at}: {stopped:?}");
        assert!(stream.state() == &before, "stopped at question {at}");
    }
    stream.run(Sequence::dense(&x, &mut y).threads(threads)).unwrap();
    assert!(stream.state() == &after);
}

#[test]
fn a_stopped_call_leaves_the_state_as_it_was() {
    for threads in [Threads::Caller, Threads::Pool] {
        stops_and_goes_on(lstm(INPUT).stream(BATCH).unwrap(), |x| x, threads);
        let stack = Stack::new(vec![lstm(INPUT), lstm(2 * HIDDEN), lstm(2 * HIDDEN)]).unwrap();
        stops_and_goes_on(stack.stream(BATCH).unwrap(), |x| x, threads);
    }
    let (w, r) = (vec![0.1; 2 * 4 * HIDDEN * INPUT], vec![-0.1; 2 * 4 * HIDDEN * HIDDEN]);
    let weights = LayerWeights::lstm(INPUT, HIDDEN).bidirectional().w(&w).r(&r).build().unwrap();
    stops_and_goes_on(LayerF64::new(&weights).unwrap().stream(BATCH).unwrap(), f64::from, Threads::Caller);
}

#[test]
fn another_thread_can_stop_a_call() {
    use std::sync::atomic::AtomicBool;
    use std::time::{Duration, Instant};
    let stack = Stack::new((0..4).map(|i| lstm(if i == 0 { INPUT } else { 2 * HIDDEN })).collect()).unwrap();
    let mut stream = stack.stream(BATCH).unwrap();
    let x = vec![0.5; 100_000 * BATCH * INPUT];
    let wanted = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(20));
            wanted.store(true, Relaxed);
        });
        let start = Instant::now();
        let stop = || wanted.load(Relaxed);
        let stopped = stream.run(Sequence::input(&x).stop(&stop));
        assert!(matches!(stopped, Err(Error::Stopped)), "{stopped:?}");
        // The whole call takes many seconds. This is no measurement, but a bound that only a lost question exceeds.
        assert!(start.elapsed() < Duration::from_secs(60));
    });
}
