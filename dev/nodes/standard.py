"""Writes the node tests of the ONNX standard: standard.py FOLDER."""
import os, sys
from onnx import numpy_helper, TensorProto
from onnx.backend.test.case.node import collect_testcases
out = sys.argv[1]; n = 0
for case in collect_testcases(None):
    d = os.path.join(out, case.name); os.makedirs(d, exist_ok=True)
    open(d + "/model.onnx", "wb").write(case.model.SerializeToString())
    open(d + "/tolerance", "w").write(f"{case.rtol} {case.atol}\n")
    for i, (ins, outs) in enumerate(case.data_sets):
        e = f"{d}/test_data_set_{i}"; os.makedirs(e, exist_ok=True)
        for kind, values, infos in (("input", ins, case.model.graph.input), ("output", outs, case.model.graph.output)):
            for j, v in enumerate(values):
                t = infos[j].type
                make = (numpy_helper.from_dict if t.HasField("map_type") else numpy_helper.from_list if t.HasField("sequence_type")
                        else numpy_helper.from_optional if t.HasField("optional_type") else numpy_helper.from_array)
                m = v if isinstance(v, TensorProto) else make(v, infos[j].name)
                open(f"{e}/{kind}_{j}.pb", "wb").write(m.SerializeToString())
    n += 1
print(n)
