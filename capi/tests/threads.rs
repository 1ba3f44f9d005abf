//! Tests the header's promises about threads.

mod support;

use rnnpack::{Cell, Direction, GateOrder};
use rnnpack_capi::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use support::*;

const TIME: usize = 50;
const BATCH: usize = 64;

fn call<'a>(x: &'a [f32], y: &'a mut [f32], threads: i32) -> ForwardDesc {
    let (x, x_count, y, y_count) = (x.as_ptr(), x.len(), y.as_mut_ptr(), y.len());
    ForwardDesc { time: TIME, batch: BATCH, threads, x, x_count, y, y_count, ..zeroed() }
}

#[test]
fn many_threads_share_one_layer() {
    let case = Case::new(&[Cell::gru(true)], GateOrder::Onnx, [16, 24], Direction::Bidirectional);
    let layer = layer(&case.desc());
    let run = |seed| {
        let (x, mut y) = (numbers(TIME * BATCH * 16, 1.0, seed), vec![0.0; TIME * BATCH * 48]);
        let (state, scratch) = (state(&layer, BATCH), scratch());
        for _ in 0..5 {
            ok(c!(rnnpack_state_reset(state.get())));
            let call = call(&x, &mut y, RNNPACK_THREADS_NONE);
            ok(c!(rnnpack_forward(layer.get(), state.get(), scratch.get(), &call)));
        }
        bits(&y)
    };
    let expected: Vec<_> = (1..=8).map(run).collect();
    let run = &run;
    let results = thread::scope(|scope| {
        let threads: Vec<_> = (1..=8).map(|seed| scope.spawn(move || run(seed))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(results, expected);
}

#[test]
fn the_pool_gives_the_same_bits() {
    let case = Case::lstm(64, 64);
    let layer = layer(&case.desc());
    let x = numbers(TIME * BATCH * 64, 1.0, 5);
    let run = |threads| {
        let (state, mut y) = (state(&layer, BATCH), vec![f32::NAN; TIME * BATCH * 64]);
        ok(c!(rnnpack_forward(layer.get(), state.get(), scratch().get(), &call(&x, &mut y, threads))));
        (bits(&y), read(&state, BATCH * 64, true).map(|part| bits(&part)))
    };
    assert!(run(RNNPACK_THREADS_NONE) == run(RNNPACK_THREADS_POOL));
}

#[test]
fn a_state_or_scratch_in_use_is_busy_and_layers_may_go_before_a_state() {
    let case = Case::lstm(64, 64);
    let layer = layer(&case.desc());
    let (state, other, scratch, free) = (state(&layer, BATCH), state(&layer, BATCH), scratch(), scratch());
    let x = numbers(TIME * BATCH * 64, 1.0, 5);
    let mut seen = [false; 11];
    let enough = AtomicBool::new(false);
    thread::scope(|scope| {
        // Another thread keeps the state busy nearly all the time, until every function has returned RNNPACK_BUSY.
        scope.spawn(|| {
            let mut y = vec![0.0; TIME * BATCH * 64];
            while !enough.load(Ordering::Acquire) {
                let call = call(&x, &mut y, RNNPACK_THREADS_NONE);
                let status = c!(rnnpack_forward(layer.get(), state.get(), scratch.get(), &call));
                assert!(status == RNNPACK_OK || status == RNNPACK_BUSY);
            }
        });
        let start = Instant::now();
        while seen != [true; 11] && start.elapsed() < Duration::from_secs(60) {
            let (mut y, one) = (vec![0.0; BATCH * 64], &x[..BATCH * 64]);
            let (count, s, none) = (y.len(), state.get(), std::ptr::null_mut());
            let at_y = y.as_mut_ptr();
            let step = |state: &OwnedState, scratch: &OwnedScratch| {
                let (layer, x) = (layer.get(), one.as_ptr());
                c!(rnnpack_step(layer, state.get(), scratch.get(), x, count, at_y, count))
            };
            let statuses = [
                c!(rnnpack_state_reset(s)),
                c!(rnnpack_state_copy(s, other.get())),
                c!(rnnpack_state_copy(other.get(), s)),
                c!(rnnpack_state_read(s, at_y, count, none, 0)),
                c!(rnnpack_state_write(s, one.as_ptr(), count, none, 0)),
                c!(rnnpack_state_reset_row(s, 0)),
                c!(rnnpack_state_read_row(s, 0, at_y, 64, none, 0)),
                c!(rnnpack_state_write_row(s, 0, at_y, 64, none, 0)),
                step(&state, &free),
                step(&other, &scratch),
                c!(rnnpack_forward(layer.get(), s, free.get(), &zeroed())),
            ];
            for (seen, status) in seen.iter_mut().zip(statuses) {
                *seen |= status == RNNPACK_BUSY;
            }
        }
        enough.store(true, Ordering::Release);
    });
    assert_eq!(seen, [true; 11]);
    drop(layer);
    ok(c!(rnnpack_state_reset(state.get())));
}

#[test]
fn every_thread_has_its_own_message() {
    let mut version = std::ptr::null();
    assert_eq!(c!(rnnpack_state_reset(std::ptr::null_mut())), RNNPACK_NULL_POINTER);
    assert_eq!(message(), "state is NULL");
    thread::spawn(|| {
        assert_eq!(message(), "");
        assert_eq!(c!(rnnpack_version(std::ptr::null_mut())), RNNPACK_NULL_POINTER);
        assert_eq!(message(), "version is NULL");
    })
    .join()
    .unwrap();
    ok(c!(rnnpack_version(&mut version)));
    assert_eq!(message(), "state is NULL");
}

#[test]
fn another_thread_stops_a_call_and_the_state_is_as_when_it_began() {
    use std::sync::atomic::AtomicI32;
    const LONG: usize = 200_000;
    let case = Case::lstm(64, 64);
    let (layer, scratch) = (layer(&case.desc()), scratch());
    let (state, x) = (state(&layer, BATCH), numbers(BATCH * 64, 1.0, 5));
    let (initial, c) = (numbers(BATCH * 64, 0.5, 6), numbers(BATCH * 64, 0.5, 7));
    let mut last = vec![9.0f32; BATCH * 64];
    for threads in [RNNPACK_THREADS_NONE, RNNPACK_THREADS_POOL] {
        let stop = AtomicI32::new(0);
        // Every step reads the same x.
        let call = ForwardDesc {
            time: LONG,
            batch: BATCH,
            threads,
            x: x.as_ptr(),
            x_count: x.len(),
            x_batch_stride: 64,
            initial_h: initial.as_ptr(),
            final_h: last.as_mut_ptr(),
            h_count: initial.len(),
            stop: stop.as_ptr(),
            ..zeroed()
        };
        ok(c!(rnnpack_state_write(state.get(), c.as_ptr(), c.len(), c.as_ptr(), c.len())));
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(50));
                stop.store(1, Ordering::Relaxed);
            });
            let start = Instant::now();
            let status = c!(rnnpack_forward(layer.get(), state.get(), scratch.get(), &call));
            assert_eq!(status, RNNPACK_STOPPED, "{}", message());
            assert!(message().contains("stopped"));
            assert!(start.elapsed() < Duration::from_secs(30));
        });
        assert_eq!(read(&state, BATCH * 64, true), [initial.clone(), c.clone()]);
        assert!(last.iter().all(|&v| v == 9.0), "a stopped call gave a final state");
        // With a 0 the call goes through.
        stop.store(0, Ordering::Relaxed);
        ok(c!(rnnpack_forward(layer.get(), state.get(), scratch.get(), &ForwardDesc { time: 3, ..call })));
        assert!(last.iter().all(|&v| v != 9.0));
        last.fill(9.0);
    }
}
