#!/usr/bin/env python3
"""Times rnnpack beside ONNX Runtime, OpenVINO and PyTorch: one process, the same weights and inputs, call by call.

Every case is one recurrent layer, forward, with biases, over a whole sequence from a zero state; the output is Y. The
answers of all sides are compared before anything is timed, and a side that disagrees is reported and not timed.

Rounds: the sides take turns in random order. A turn is one call that is not timed and then timed calls for about a
millisecond, one at least; with several threads a rest of 10 ms goes before it. Every round begins with the machine's
limits, measured anew: the multiply-add peak in f32 and the bandwidth at which one core reads a buffer of R's size in
f32. Shares are medians over rounds, for all types: narrow ones may exceed 100.

dtype is the type of the weights. rnnpack widens bf16 and f16 in registers; OpenVINO's bf16 also rounds x and h. The int8 of
ONNX Runtime is its dynamic quantization (DynamicQuantizeLSTM), that of PyTorch its dynamic quantization; ONNX Runtime has
none of GRU and RNN. That of OpenVINO is a calibrated model, with FakeQuantize of x, h, W and R: the ranges of x and h are
given as ±1, which is what they are here. OpenVINO has no GRU and RNN of int8.

All sides are called from Python as their users call them, which is part of their time: about 2 µs for rnnpack through
ctypes, 5 to 10 µs for the others.
"""

import argparse
import csv
import ctypes
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
TURN = 1e-3
# Threads of the side before may spin for some milliseconds in wait of more work, on CPUs that the next side needs.
REST = 10e-3
# Activations are good to some 1e-6 each; a wrong gate or state moves answers by 1e-2 and more. bf16 has 8 bits, f16 has
# 11, and int8 quantizes x and h too: with one scale for all of them, as in ONNX Runtime, by up to some 0.1.
BOUND = {"f32": 1e-4, "f16": 1e-2, "bf16": 5e-2, "bf16-dot": 5e-2, "int8": 2e-1}
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
SHAPES = [
    (100, 1, 64, 64), (100, 1, 128, 128), (100, 1, 256, 256), (100, 1, 512, 512), (50, 1, 1024, 1024),
    (1, 1, 128, 128), (1, 1, 512, 512), (50, 4, 256, 256), (50, 16, 256, 256), (50, 64, 256, 256),
    (25, 16, 1024, 1024), (25, 128, 256, 256), (200, 8, 40, 32), (300, 1, 20, 20),
]
OTHER_CELLS = [(1, 1, 128, 128), (100, 1, 128, 128), (100, 1, 256, 256), (50, 16, 256, 256)]
FIELDS = ["op", "T", "B", "I", "H", "dtype", "threads", "peer", "version", "calls", "min_us", "median_us", "ratio",
          "peak_percent", "limit_percent"]


@dataclass(frozen=True)
class Case:
    op: str
    shape: tuple
    threads: int

    def __str__(self):
        return f"{self.op} {','.join(map(str, self.shape))}, {self.threads} thread{'s' * (self.threads > 1)}"

    @property
    def flops(self):
        t, b, i, h = self.shape
        return 2 * t * b * GATES[self.op] * h * (i + h)

    @property
    def r_bytes(self):
        return 4 * GATES[self.op] * self.shape[3] ** 2

    def limit(self, peak, read):
        """Seconds that one core takes at least: with a batch, the products at the peak; with one row, R's bytes at
        every step and the projection of the input at the peak."""
        t, b, i, h = self.shape
        if b > 1:
            return self.flops / peak
        return t * self.r_bytes / read + 2 * t * GATES[self.op] * h * i / peak


class Data:
    """Weights in ONNX's layout and order of gates, uniform in ±1/√H, and an input uniform in ±1."""

    def __init__(self, case):
        t, b, i, h = case.shape
        g = GATES[case.op]
        rng = np.random.default_rng(1)

        def uniform(scale, *dims):
            return rng.uniform(-scale, scale, dims).astype(np.float32)

        self.w = uniform(h**-0.5, 1, g * h, i)
        self.r = uniform(h**-0.5, 1, g * h, h)
        self.b = uniform(h**-0.5, 1, 2 * g * h)
        self.x = uniform(1.0, t, b, i)

    def in_pytorch_order(self, op):
        """The gates of W, R and the two halves of B as PyTorch orders them."""
        order = {"LSTM": [0, 2, 3, 1], "GRU": [1, 0, 2], "RNN": [0]}[op]
        wb, rb = np.split(self.b[0], 2)

        def reordered(a):
            parts = np.split(a, len(order))
            return np.concatenate([parts[g] for g in order])

        return [reordered(a) for a in (self.w[0], self.r[0], wb, rb)]


def onnx_model(case, data):
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    t, b, i, h = case.shape
    attributes = {"linear_before_reset": 1} if case.op == "GRU" else {}
    node = helper.make_node(case.op, ["X", "W", "R", "B"], ["Y"], hidden_size=h, **attributes)
    graph = helper.make_graph(
        [node], "layer",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [t, b, i])],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, [t, 1, b, h])],
        [numpy_helper.from_array(a, name) for name, a in (("W", data.w), ("R", data.r), ("B", data.b))],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


class PackDesc(ctypes.Structure):
    """rnnpack_pack_desc of rnnpack.h."""

    _fields_ = [("size", ctypes.c_size_t), ("subnormals", ctypes.c_int32), ("isa", ctypes.c_char_p),
                ("weight_type", ctypes.c_int32)]


class LayerDesc(ctypes.Structure):
    """rnnpack_layer_desc of rnnpack.h."""

    _fields_ = (
        [("size", ctypes.c_size_t)]
        + [(n, ctypes.c_int32) for n in ("op", "direction", "gate_order", "input_forget", "linear_before_reset", "has_clip")]
        + [("clip", ctypes.c_float), ("input", ctypes.c_size_t), ("hidden", ctypes.c_size_t)]
        + [f for n in ("w", "r", "b", "p") for f in ((n, ctypes.c_void_p), (n + "_count", ctypes.c_size_t))]
        + [("activations", ctypes.c_void_p), ("activation_count", ctypes.c_size_t)]
        + [("activation_alpha", ctypes.c_void_p), ("activation_alpha_count", ctypes.c_size_t)]
        + [("activation_beta", ctypes.c_void_p), ("activation_beta_count", ctypes.c_size_t)]
        + [("pack", ctypes.c_void_p)]
    )


class ForwardDesc(ctypes.Structure):
    """rnnpack_forward_desc of rnnpack.h."""

    _fields_ = (
        [("size", ctypes.c_size_t), ("time", ctypes.c_size_t), ("batch", ctypes.c_size_t)]
        + [("layout", ctypes.c_int32), ("threads", ctypes.c_int32)]
        + [("x", ctypes.c_void_p)] + [(n, ctypes.c_size_t) for n in ("x_count", "x_time_stride", "x_batch_stride")]
        + [("y", ctypes.c_void_p)]
        + [(n, ctypes.c_size_t) for n in ("y_count", "y_time_stride", "y_direction_stride", "y_batch_stride")]
        + [("lens", ctypes.c_void_p), ("lens_count", ctypes.c_size_t)]
        + [("initial_h", ctypes.c_void_p), ("final_h", ctypes.c_void_p), ("h_count", ctypes.c_size_t)]
        + [("initial_c", ctypes.c_void_p), ("final_c", ctypes.c_void_p), ("c_count", ctypes.c_size_t)]
        + [("stop", ctypes.c_void_p)]
    )


class Rnnpack:
    """Through the C library. The pool of more than one thread is the process's: all such cases have its size."""

    name = "rnnpack"
    # RNNPACK_WEIGHT_TYPE_F32 and so on.
    TYPES = {"f32": 1, "bf16": 2, "f16": 3, "int8": 4, "bf16-dot": 5}

    def __init__(self, library, dtype):
        self.c, self.dtype = ctypes.CDLL(str(library)), dtype
        self.c.rnnpack_message.restype = ctypes.c_char_p
        version, isa = ctypes.c_char_p(), ctypes.c_char_p()
        self.check(self.c.rnnpack_version(ctypes.byref(version)))
        self.check(self.c.rnnpack_isa(ctypes.byref(isa)))
        self.version = f"{version.value.decode()} {isa.value.decode()}"

    def check(self, status):
        if status != 0:
            raise RuntimeError(f"rnnpack: {self.c.rnnpack_message().decode()}")

    def prepare(self, case, data):
        t, b, i, h = case.shape
        desc = LayerDesc(size=ctypes.sizeof(LayerDesc), op=["LSTM", "GRU", "RNN"].index(case.op), input=i, hidden=h,
                         linear_before_reset=int(case.op == "GRU"))
        for name in "wrb":
            tensor = getattr(data, name)
            setattr(desc, name, tensor.ctypes.data)
            setattr(desc, name + "_count", tensor.size)
        pack = PackDesc(size=ctypes.sizeof(PackDesc), weight_type=self.TYPES[self.dtype])
        desc.pack = ctypes.addressof(pack)
        layer, state, scratch = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()
        self.check(self.c.rnnpack_layer_new(ctypes.byref(desc), ctypes.byref(layer)))
        self.check(self.c.rnnpack_state_new(layer, ctypes.c_size_t(b), ctypes.byref(state)))
        self.check(self.c.rnnpack_scratch_new(ctypes.byref(scratch)))
        y = np.zeros((t, 1, b, h), np.float32)
        forward = ForwardDesc(size=ctypes.sizeof(ForwardDesc), time=t, batch=b, threads=int(case.threads > 1),
                              x=data.x.ctypes.data, x_count=data.x.size, y=y.ctypes.data, y_count=y.size)
        by_ref = ctypes.byref(forward)

        def call():
            self.check(self.c.rnnpack_state_reset(state))
            self.check(self.c.rnnpack_forward(layer, state, scratch, by_ref))
            return y

        def free():
            self.c.rnnpack_scratch_free(scratch)
            self.c.rnnpack_state_free(state)
            self.c.rnnpack_layer_free(layer)

        # What the pointers lead to lives as long as the closure.
        call.keep, call.free = (data, forward), free
        return call


def quantized(model):
    """The model with its LSTM as ONNX Runtime's DynamicQuantizeLSTM: int8, one scale for each column of a gate."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder, "f32.onnx"), Path(folder, "int8.onnx")
        files[0].write_bytes(model)
        quantize_dynamic(*files, per_channel=True, weight_type=QuantType.QInt8)
        model = files[1].read_bytes()
    if b"DynamicQuantizeLSTM" not in model:
        raise RuntimeError("quantize_dynamic left it in f32")
    return model


class OnnxRuntime:
    name = "onnxruntime"

    def __init__(self, dtype):
        import onnxruntime

        self.ort, self.dtype, self.version = onnxruntime, dtype, onnxruntime.__version__

    def prepare(self, case, data):
        options = self.ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = case.threads, 1
        # Its threads would spin on through the turns of the others.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        model = onnx_model(case, data)
        model = quantized(model) if self.dtype == "int8" else model
        session = self.ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        feeds = {"X": data.x}
        return lambda: session.run(None, feeds)[0]


class OpenVino:
    name = "openvino"

    def __init__(self, dtype):
        import openvino

        self.ov, self.dtype, self.version = openvino, dtype, openvino.__version__.split("-")[0]
        self.core = openvino.Core()
        if dtype not in ("f32", "int8") and dtype.upper() not in self.core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise RuntimeError(f"OpenVINO has no {dtype} on this CPU")

    def prepare(self, case, data):
        config = {"INFERENCE_NUM_THREADS": case.threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY",
                  "INFERENCE_PRECISION_HINT": "f32" if self.dtype == "int8" else self.dtype}
        if self.dtype == "int8":
            model = self.quantized(case, data)
        else:
            model = self.core.read_model(onnx_model(case, data), b"")
        compiled = self.core.compile_model(model, "CPU", config)
        types = [op.get_rt_info()["runtimePrecision"] for op in compiled.get_runtime_model().get_ops()
                 if op.get_rt_info()["layerType"] in ("RNNSeq", "LSTMSequence", "GRUSequence")]
        if self.dtype == "int8" and not any(t.astype(str) in ("u8", "i8") for t in types):
            raise RuntimeError(f"OpenVINO computes it in {[t.astype(str) for t in types]}")
        request = compiled.create_infer_request()
        tensors = [self.ov.Tensor(data.x, shared_memory=True)]
        if self.dtype == "int8":
            _, b, _, h = case.shape
            tensors.append(self.ov.Tensor(np.zeros((b, 1, h), np.float32)))

        def call():
            request.infer(tensors)
            return request.get_output_tensor(0).data

        return call

    def quantized(self, case, data):
        """The layer with FakeQuantize in front: 256 levels of x and h in ±1, 255 of each row of W and R."""
        from openvino import opset8 as op

        t, b, i, h = case.shape
        if case.op != "LSTM":
            raise RuntimeError("it has int8 for LSTM only")
        gates = [2, 0, 3, 1]
        constant = lambda a: op.constant(np.asarray(a, np.float32))

        def quantize(node, low, high, levels):
            low, high = constant(low), constant(high)
            return op.fake_quantize(node, low, high, low, high, levels)

        def of_rows(a):
            parts = np.split(a[0], len(gates))
            a = np.concatenate([parts[g] for g in gates])[None]
            largest = np.abs(a).max(axis=2, keepdims=True)
            return quantize(constant(a), -largest, largest, 255)

        wb, rb = (np.split(half, len(gates)) for half in np.split(data.b[0], 2))
        x = op.parameter([t, b, i], np.float32)
        h0 = op.parameter([b, 1, h], np.float32)
        rows = quantize(op.transpose(x, np.array([1, 0, 2])), -1.0, 127 / 128, 256)
        state = quantize(h0, -1.0, 127 / 128, 256)
        lens = op.constant(np.full(b, t, np.int64))
        bias = np.concatenate([wb[g] + rb[g] for g in gates])[None]
        layer = op.lstm_sequence(rows, state, constant(np.zeros((b, 1, h))), lens, of_rows(data.w), of_rows(data.r),
                                 constant(bias), h, "FORWARD")
        return self.ov.Model([op.transpose(layer.output(0), np.array([2, 1, 0, 3]))], [x, h0], "layer")


class PyTorch:
    name = "pytorch"

    def __init__(self, dtype):
        import torch

        self.torch, self.dtype, self.version = torch, dtype, torch.__version__.split("+")[0]

    def prepare(self, case, data):
        torch = self.torch
        _, _, i, h = case.shape
        layer = getattr(torch.nn, case.op)(i, h)
        names = ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"]
        tensors = data.in_pytorch_order(case.op)
        layer.load_state_dict({n: torch.from_numpy(np.ascontiguousarray(a)) for n, a in zip(names, tensors)})
        layer.eval()
        if self.dtype == "int8":
            kinds = {torch.nn.LSTM, torch.nn.GRU}
            if type(layer) not in kinds:
                raise RuntimeError("it quantizes LSTM and GRU only")
            layer = torch.ao.quantization.quantize_dynamic(torch.nn.Sequential(layer), kinds, torch.qint8)[0]
        x = torch.from_numpy(data.x)
        torch.set_num_threads(case.threads)

        def call():
            with torch.inference_mode():
                return layer(x)[0].numpy()[:, None]

        return call


class Limits:
    """The machine's limits, by a program of this repository that measures them in the kernels' own instructions."""

    def __init__(self, program, case):
        # A row of R in whole vectors is what a step reads; padding is left out, as it is in Case.r_bytes.
        self.command = [str(program), str(max(case.r_bytes, 4096))]

    def measure(self):
        limits = json.loads(subprocess.run(self.command, check=True, capture_output=True).stdout)
        return limits["peak_flops"], limits["read_bytes_per_s"][0]


def turn(call):
    """Seconds of the calls of a turn."""
    call()
    times, start = [], time.perf_counter()
    while True:
        before = time.perf_counter()
        call()
        now = time.perf_counter()
        times.append(now - before)
        if now - start >= TURN:
            return times


def agreeing(peers, case, data):
    """The sides whose answers agree with rnnpack's, ready to be called."""
    sides, expected = [], None
    for peer in peers:
        try:
            call = peer.prepare(case, data)
            y = np.array(call(), dtype=np.float32)
        except Exception as e:  # A peer that cannot run a case is named, and the run goes on.
            if expected is None:
                raise
            print(f"  {peer.name} {peer.dtype} cannot run it: {e}", file=sys.stderr)
            continue
        expected = y if expected is None else expected
        difference = float(np.max(np.abs(y - expected))) if y.shape == expected.shape else float("inf")
        if not difference <= BOUND[peer.dtype]:
            print(f"  {peer.name} {peer.dtype} DISAGREES by {difference:.1e} and is not timed", file=sys.stderr)
            continue
        sides.append((peer, call, [], []))
    return sides


def run(case, peers, limits, seconds):
    data = Data(case)
    sides = agreeing(peers, case, data)
    rounds, start = [], time.perf_counter()
    while len(rounds) < 5 or time.perf_counter() - start < seconds:
        rounds.append(limits.measure())
        for peer, call, times, medians in random.sample(sides, len(sides)):
            if case.threads > 1:
                time.sleep(REST)
            measured = turn(call)
            times += measured
            medians.append(statistics.median(measured))
    ours = min(sides[0][2])
    for peer, call, times, medians in sides:
        pairs = [(case.limit(*limit), case.flops / limit[0], t) for limit, t in zip(rounds, medians)]
        share = lambda k: 100 * statistics.median(p[k] / p[2] for p in pairs) / case.threads
        yield dict(zip(FIELDS, [
            case.op, *case.shape, peer.dtype, case.threads, peer.name, peer.version, len(times),
            round(min(times) * 1e6, 2), round(statistics.median(times) * 1e6, 2), round(min(times) / ours, 3),
            round(share(1), 1), round(share(0), 1),
        ]))
    for _, call, _, _ in sides:
        getattr(call, "free", lambda: None)()


def cases(args):
    threads = [1] if args.threads == 1 else [1, args.threads]
    every = [("LSTM", s) for s in SHAPES] + [(op, s) for op in ("GRU", "RNN") for s in OTHER_CELLS]
    if args.shape:
        every = [(op, s) for s in args.shape for op in ("LSTM", "GRU", "RNN")]
    return [Case(op, s, n) for op, s in every if not args.op or op in args.op for n in threads]


def machine():
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        name = lines[0].split(":", 1)[1].strip() if lines else name
    return f"{name}, {os.cpu_count()} CPUs, {platform.system()}, Python {platform.python_version()}"


def build():
    cargo = lambda *args: subprocess.run(["cargo", "build", "--release", "--locked", *args], cwd=ROOT, check=True)
    cargo("-p", "rnnpack-capi")
    cargo("-p", "rnnpack-kernels", "--example", "limits")
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
    name = {"Darwin": "librnnpack_capi.dylib", "Windows": "rnnpack_capi.dll"}.get(platform.system(), "librnnpack_capi.so")
    return target / name, target / "examples" / ("limits.exe" if os.name == "nt" else "limits")


def shape(text):
    extents = tuple(int(n) for n in text.split(","))
    if len(extents) != 4 or min(extents) < 1:
        raise argparse.ArgumentTypeError("give T,B,I,H, such as 100,1,256,256")
    return extents


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", type=shape, action="append", metavar="T,B,I,H", help="only this; may be repeated")
    parser.add_argument("--op", choices=list(GATES), action="append", help="only this; may be repeated")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), metavar="N", help="time one thread, and N")
    parser.add_argument("--narrow", action="store_true", help="also weights of bf16, f16 and int8, of all that have them")
    parser.add_argument("--seconds", type=float, default=3.0, metavar="S", help="for each case, all sides together")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the results there too")
    return parser.parse_args()


def main():
    args = arguments()
    library, limits = build()
    os.environ["RAYON_NUM_THREADS"] = str(args.threads)
    peers = [Rnnpack(library, "f32"), OnnxRuntime("f32"), OpenVino("f32"), PyTorch("f32")]
    if args.narrow:
        peers += [Rnnpack(library, dtype) for dtype in ("bf16", "f16", "int8", "bf16-dot")]
        peers += [OnnxRuntime("int8"), PyTorch("int8"), OpenVino("int8")]
    try:
        peers.append(OpenVino("bf16"))
    except RuntimeError as e:
        print(e, file=sys.stderr)
    rows = []
    print(machine())
    for case in cases(args):
        print(case, flush=True)
        for row in run(case, peers, Limits(limits, case), args.seconds):
            rows.append(row)
            print("  {peer:12} {dtype:8} {version:16} min {min_us:>10} µs  median {median_us:>10} µs  "
                  "{ratio:>6} × rnnpack  {peak_percent:>5}% of the peak  {limit_percent:>5}% of the limit".format(**row),
                  flush=True)
    if args.csv:
        with args.csv.open("w", newline="") as file:
            file.write(f"# {machine()}\n")
            writer = csv.DictWriter(file, FIELDS)
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
