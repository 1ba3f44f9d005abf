#!/usr/bin/env python3
"""What narrower weights do to whole models, and how long these take, beside ONNX Runtime.

    models.py RNNPACK MODEL.onnx RECORDED.npz DECIDES [MODEL.onnx RECORDED.npz DECIDES ...]

RNNPACK is the command. RECORDED has the inputs of consecutive calls (in/<call>/<name>) and the answers of ONNX Runtime in f32
(out/<call>/<name>); a model with DynamicQuantizeLSTM has none in f32, so only its times are shown. States go from each call to the
next as in `rnnpack verify`.

Errors are the largest difference of an output over all calls, divided by its largest magnitude; where ONNX Runtime has int8 too,
also the RMS of the differences, divided by the same. `ORT int8` is the same model
after ONNX Runtime's quantize_dynamic of its LSTM nodes, with one scale for a tensor and with one for a column; GRU and RNN it
leaves in f32. DECIDES names the outputs that classify, with commas between them, or is `-`. A decision is the largest
element of a line along the last axis, or, where a line has one element, whether that is above 0.5. `kept` says that a type
changed no decision in any call: of a single element, that no difference reaches from any value to 0.5.

Times are the fastest call of the first recorded call's inputs, on one thread; all sides take turns.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnxruntime.quantization import QuantType, quantize_dynamic

TURNS = 5
SECONDS = 0.3


def operators(graph):
    """The operators of a graph and of the graphs in its nodes."""
    inner = [a.g for node in graph.node for a in node.attribute if a.HasField("g")]
    return {node.op_type for node in graph.node}.union(*map(operators, inner))


def recorded(path):
    """The calls of a recorded stream: for each, its inputs and its outputs by name."""
    calls = defaultdict(lambda: ({}, {}))
    archive = np.load(path)
    for key in archive.files:
        side, call, name = key.split("/", 2) if key.startswith(("in/", "out/")) else (None, None, None)
        if side:
            calls[int(call)][side == "out"][name] = archive[key]
    return [calls[n] for n in sorted(calls)]


def session(model):
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def handed_on(calls):
    """The inputs that are always an output of the call before."""
    pairs = {}
    for name in calls[0][0]:
        for out in calls[0][1]:
            same = [np.array_equal(b[0][name], a[1][out]) for a, b in zip(calls, calls[1:])]
            if same and all(same):
                pairs[name] = out
    return pairs


def answers(model, calls):
    """The outputs of ONNX Runtime in every call."""
    run, states, outs = session(model), handed_on(calls), []
    names = [o.name for o in run.get_outputs()]
    for inputs, _ in calls:
        if outs:
            inputs = inputs | {name: outs[-1][out] for name, out in states.items()}
        outs.append(dict(zip(names, run.run(None, inputs))))
    return outs


def differences(calls, outs):
    """The error of each output of floats, and its RMS, both divided by the output's largest magnitude."""
    errors = {}
    for name, first in calls[0][1].items():
        if first.dtype.kind != "f":
            continue
        right = np.concatenate([c[1][name].ravel() for c in calls])
        difference = np.abs(right - np.concatenate([o[name].ravel() for o in outs]))
        scale = float(np.abs(right).max(initial=0)) or 1.0
        errors[name] = float(difference.max(initial=0)) / scale, float(np.sqrt(np.mean(difference**2))) / scale
    return errors


def ours_written(rnnpack, model, data, folder):
    """The same of the model that `rnnpack quantize` writes in int8, against the model itself."""
    command = [rnnpack, "quantize", model, "--weights", "int8", "--recorded", data, "-o", Path(folder, "ours.onnx"), "--json"]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        sys.exit(f"quantize {model}: {run.stderr}")
    outputs = json.loads(run.stdout)["outputs"]
    return {o["output"]: (o["relative"], o["relative"] * o["rms"] / o["largest"] if o["largest"] else 0.0) for o in outputs}


def ours(rnnpack, model, data, weights, decisions=False):
    """The comparison of every output with the recorded one, as `rnnpack verify` makes it."""
    judged = ["--decisions", "-1"] if decisions else ["--bound", "1e9"]
    command = [rnnpack, "verify", model, "--recorded", data, "--weights", weights, *judged, "--json"]
    run = subprocess.run(command, capture_output=True, text=True)
    if not run.stdout:
        sys.exit(f"verify {model}: {run.stderr}")
    report = json.loads(run.stdout)
    side = next(c for c in report["comparisons"] if c["against"] == "recorded")
    return {o["output"]: o for o in side["outputs"]}


def kept(rnnpack, model, data, calls, weights, decides):
    """Whether an output's decisions are those of f32, for the outputs that decide."""
    if not decides:
        return {}
    compared, by_line = ours(rnnpack, model, data, weights), ours(rnnpack, model, data, weights, True)
    result = {}
    for name in decides:
        values = np.concatenate([c[1][name].ravel() for c in calls])
        shape = calls[0][1][name].shape
        if shape[-1] > 1 and len(shape) > 1:
            result[name] = by_line[name]["decisions"]["same"] == by_line[name]["decisions"]["of"]
        else:
            # No difference reaches from a value to the other side of 0.5.
            result[name] = compared[name]["largest_difference"] < float(np.abs(values - 0.5).min())
    return result


def quantized(model, folder):
    """ONNX Runtime's own int8 of the model's LSTM nodes: one scale for a tensor, and one for a column."""
    files = {}
    for name, by_column in (("tensor", False), ("column", True)):
        file = Path(folder, f"{name}.onnx")
        quantize_dynamic(model, file, op_types_to_quantize=["LSTM"], per_channel=by_column,
                         weight_type=QuantType.QInt8, extra_options={"EnableSubgraph": True})
        if b"DynamicQuantizeLSTM" in file.read_bytes():
            files[name] = file
    return files


def time_ours(rnnpack, model, inputs, folder, weights):
    archive = Path(folder, "inputs.npz")
    np.savez(archive, **inputs)
    command = [rnnpack, "bench", model, "--input", archive, "--seconds", str(SECONDS), "--no-tract", "--json"]
    command += ["--weights", weights] if weights else []
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        sys.exit(f"bench {model}: {run.stderr}")
    return next(s["min_us"] for s in json.loads(run.stdout)["sides"] if s["name"].startswith("rnnpack"))


def time_theirs(run, inputs):
    best, start = float("inf"), time.perf_counter()
    while time.perf_counter() - start < SECONDS:
        before = time.perf_counter()
        run.run(None, inputs)
        best = min(best, time.perf_counter() - before)
    return best * 1e6


def times(rnnpack, model, calls, folder, narrow, files):
    sides = {"rnnpack": lambda: time_ours(rnnpack, model, calls[0][0], folder, None)}
    if narrow:
        sides |= {f"rnnpack {w}": lambda w=w: time_ours(rnnpack, model, calls[0][0], folder, w) for w in narrow}
    for name, file in ({"ONNX Runtime": model} | {f"ORT int8 by {n}": f for n, f in files.items()}).items():
        sides[name] = lambda run=session(file): time_theirs(run, calls[0][0])
    measured = defaultdict(list)
    for _ in range(TURNS):
        for name, side in sides.items():
            measured[name].append(side())
    return {name: min(us) for name, us in measured.items()}


def words(name, error, keeps):
    rms = "" if error[1] is None else f" (RMS {error[1]:.1e})"
    return f"{name} {error[0]:.1e}{rms}" + {True: " kept", False: " not kept", None: ""}[keeps]


def report(rnnpack, model, data, decides):
    calls = recorded(data)
    print(f"\n{model}, {Path(data).name}: {len(calls)} calls")
    with tempfile.TemporaryDirectory() as folder:
        narrow, files = ["bf16", "f16", "int8"], {}
        if b"DynamicQuantizeLSTM" in Path(model).read_bytes():
            narrow = []
        else:
            files = quantized(model, folder)
        errors = {w: {n: (o["relative"], None) for n, o in ours(rnnpack, model, data, w).items()} for w in narrow}
        # Of other cells the written file computes in f32.
        if files and not operators(onnx.load(model).graph) & {"GRU", "RNN"}:
            errors["int8"] = ours_written(rnnpack, model, data, folder)
        errors |= {f"ORT int8 by {n}": differences(calls, answers(f, calls)) for n, f in files.items()}
        for side, of in errors.items():
            keeps = kept(rnnpack, model, data, calls, side, decides) if side in narrow else {}
            print(f"  {side:18}", ", ".join(words(n, e, keeps.get(n)) for n, e in of.items() if e[0] is not None))
        for side, us in times(rnnpack, model, calls, folder, narrow, files).items():
            print(f"  {side:18} {us:10.1f} µs")


def main():
    if len(sys.argv) < 5 or len(sys.argv) % 3 != 2:
        sys.exit(__doc__)
    rnnpack, triples = sys.argv[1], sys.argv[2:]
    for model, data, decides in zip(triples[::3], triples[1::3], triples[2::3]):
        report(rnnpack, model, data, [] if decides == "-" else decides.split(","))


if __name__ == "__main__":
    main()
