"""Python's multiprocessing with the start method "fork": workers use the layer, a state and the pool of threads after their
parent has used all of them. The argument is the shared library. For the standard library of Python alone."""

import array
import ctypes
import multiprocessing
import signal
import sys

INPUT, HIDDEN, BATCH, TIME, WORKERS, SECONDS = 64, 128, 32, 50, 4, 60
THREADS_POOL = 1


class LayerDesc(ctypes.Structure):
    _fields_ = (
        [("size", ctypes.c_size_t)]
        + [(name, ctypes.c_int32) for name in "op direction gate_order input_forget linear_before_reset has_clip".split()]
        + [("clip", ctypes.c_float), ("input", ctypes.c_size_t), ("hidden", ctypes.c_size_t)]
        + [field for name in "wrbp" for field in ((name, ctypes.c_void_p), (name + "_count", ctypes.c_size_t))]
        + [
            field
            for name in ("activations", "activation_alpha", "activation_beta")
            for field in ((name, ctypes.c_void_p), (name + "_count", ctypes.c_size_t))
        ]
        + [("pack", ctypes.c_void_p)]
    )


class ForwardDesc(ctypes.Structure):
    _fields_ = (
        [("size", ctypes.c_size_t), ("time", ctypes.c_size_t), ("batch", ctypes.c_size_t)]
        + [("layout", ctypes.c_int32), ("threads", ctypes.c_int32)]
        + [("x", ctypes.c_void_p)]
        + [(name, ctypes.c_size_t) for name in "x_count x_time_stride x_batch_stride".split()]
        + [("y", ctypes.c_void_p)]
        + [(name, ctypes.c_size_t) for name in "y_count y_time_stride y_direction_stride y_batch_stride".split()]
        + [("lens", ctypes.c_void_p), ("lens_count", ctypes.c_size_t)]
        + [("initial_h", ctypes.c_void_p), ("final_h", ctypes.c_void_p), ("h_count", ctypes.c_size_t)]
        + [("initial_c", ctypes.c_void_p), ("final_c", ctypes.c_void_p), ("c_count", ctypes.c_size_t)]
        + [("stop", ctypes.c_void_p)]
    )


c = ctypes.CDLL(sys.argv[1])
c.rnnpack_message.restype = ctypes.c_char_p


def check(status):
    if status:
        raise RuntimeError(c.rnnpack_message().decode())


def numbers(count, seed):
    values = ((i * 7919 + seed * 104729) % 1000 / 2500 - 0.2 for i in range(count))
    return (ctypes.c_float * count)(*values)


W, R, X = numbers(4 * HIDDEN * INPUT, 1), numbers(4 * HIDDEN * HIDDEN, 2), numbers(TIME * BATCH * INPUT, 3)
layer, state, scratch = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()


def make():
    desc = LayerDesc(input=INPUT, hidden=HIDDEN, w_count=len(W), r_count=len(R))
    desc.size, desc.w, desc.r = ctypes.sizeof(desc), ctypes.addressof(W), ctypes.addressof(R)
    check(c.rnnpack_layer_new(ctypes.byref(desc), ctypes.byref(layer)))
    check(c.rnnpack_state_new(layer, ctypes.c_size_t(BATCH), ctypes.byref(state)))
    check(c.rnnpack_scratch_new(ctypes.byref(scratch)))


def run(threads):
    """The bits of y."""
    y = (ctypes.c_float * (TIME * BATCH * HIDDEN))()
    call = ForwardDesc(time=TIME, batch=BATCH, threads=threads, x_count=len(X), y_count=len(y))
    call.size, call.x, call.y = ctypes.sizeof(call), ctypes.addressof(X), ctypes.addressof(y)
    check(c.rnnpack_state_reset(state))
    check(c.rnnpack_forward(layer, state, scratch, ctypes.byref(call)))
    return array.array("f", y).tobytes()


def work(threads):
    signal.alarm(SECONDS)
    result = run(threads)
    signal.alarm(0)
    return result


def main():
    make()
    expected = run(0)
    assert any(expected) and run(THREADS_POOL) == expected
    context = multiprocessing.get_context("fork")
    # A worker that its alarm ends is replaced for ever, so the results are waited for with an end too.
    with context.Pool(WORKERS) as pool:
        for threads in (0, THREADS_POOL):
            for result in pool.map_async(work, [threads] * 2 * WORKERS, chunksize=1).get(2 * SECONDS):
                assert result == expected, "a worker has other bits"
    assert run(THREADS_POOL) == expected
    print("workers give the bits of their parent")


if __name__ == "__main__":
    main()
