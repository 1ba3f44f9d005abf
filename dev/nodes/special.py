"""Makes tests of special values and large integers: special.py FOLDER. The answers are those of ONNX Runtime, or of the
reference evaluator of the standard where ONNX Runtime has none, and in half precision those of the reference in f64."""
import os, sys, itertools, numpy as np, onnx
from onnx import helper as h, numpy_helper as nh, TensorProto as T
from onnx.reference import ReferenceEvaluator
import onnxruntime as ort
ort.set_default_logger_severity(4)
out=sys.argv[1]
DT={np.float32:T.FLOAT,np.float64:T.DOUBLE,np.float16:T.FLOAT16,np.int64:T.INT64,np.int32:T.INT32,np.bool_:T.BOOL,np.int8:T.INT8,np.uint8:T.UINT8}
DT[np.longlong]=T.INT64
def dt(a): return DT[a.dtype.type]
def to64(a): return a.astype(np.float64) if a.dtype==np.float16 else a
n=0
# What the standard leaves open: integers that overflow, means of nothing, maxima of windows and Hardmax with a NaN, and what the
# reference rounds before the logarithm.
UNDEFINED={"intred_ReduceLogSum_int64","intred_ReduceProd_int64","intred_ReduceProd_shape","intred_ReduceSumSquare_int64",
    "intred_ReduceSumSquare_shape","maxpool_float16","maxpool_float64","red_ReduceLogSumExp_float16_ninf",
    "red_ReduceMean_float32_none","red_ReduceMean_float64_none","sm_Hardmax_float16_nan","sm_Hardmax_float32_nan",
    "sm_Hardmax_float64_nan","sm_LogSoftmax_float16_big","sm_LogSoftmax_float16_fin","sm_LogSoftmax_float16_nan",
    "sm_LogSoftmax_float64_inf","clip_lo_float16","idivmin"}
def case(name, nodes, inputs, outs, opset=20, inits={}, dyn=(), rtol=1e-5, expected=None):
    """inputs: {name: array}; outs: [names]"""
    global n
    if name in UNDEFINED: return
    def shape(k,a): return [f"{k}_{i}" if k in dyn else d for i,d in enumerate(a.shape)]
    g=h.make_graph(nodes,"g",[h.make_tensor_value_info(k,dt(a),shape(k,a)) for k,a in inputs.items()],
        [h.make_empty_tensor_value_info(o) for o in outs],[nh.from_array(a,k) for k,a in inits.items()])
    m=h.make_model(g,opset_imports=[h.make_opsetid("",opset)],ir_version=9)
    res={}
    if expected is None and any(a.dtype==np.float16 for a in list(inputs.values())+list(inits.values())):
        g64=h.make_graph(nodes,"g",[h.make_tensor_value_info(k,dt(to64(a)),a.shape) for k,a in inputs.items()],[h.make_empty_tensor_value_info(o) for o in outs],[nh.from_array(to64(a),k) for k,a in inits.items()])
        m64=h.make_model(g64,opset_imports=[h.make_opsetid("",opset)],ir_version=9)
        try:
            with np.errstate(all="ignore"):
                expected=[np.asarray(e) for e in ReferenceEvaluator(m64).run(None,{k:to64(a) for k,a in inputs.items()})]
                expected=[e.astype(np.float16) if e.dtype==np.float64 else e for e in expected]
        except Exception as e: print("NO F64 REFERENCE",name,str(e)[:100]); return
    if expected is None:
        for o in ("ort","ref"):
            try:
                if o=="ort":
                    # graph outputs need types: infer
                    mi=onnx.shape_inference.infer_shapes(m)
                    types={v.name:v for v in list(mi.graph.output)}
                    res[o]=ort.InferenceSession(mi.SerializeToString(),providers=["CPUExecutionProvider"]).run(None,inputs)
                else:
                    with np.errstate(all="ignore"): res[o]=ReferenceEvaluator(m).run(None,inputs)
            except Exception as e: res[o]=e
        exp=res["ort"] if not isinstance(res["ort"],Exception) else res["ref"]
        if isinstance(exp,Exception): print("NO ORACLE",name,str(res["ort"])[:150],"|",str(res["ref"])[:100]); return
        exp=[np.asarray(e) for e in exp]
        if not isinstance(res["ort"],Exception) and not isinstance(res["ref"],Exception):
            for a,b in zip(res["ort"],res["ref"]):
                b=np.asarray(b)
                if a.shape!=b.shape or a.dtype!=b.dtype or not np.allclose(a.astype(np.float64),b.astype(np.float64),rtol=1e-3,atol=1e-3,equal_nan=True): print("ORACLES DIFFER",name,a.ravel()[:12],b.ravel()[:12])
    else: exp=expected
    mi=onnx.shape_inference.infer_shapes(m)
    d=f"{out}/{name}"; os.makedirs(d+"/test_data_set_0",exist_ok=True)
    for o,e in zip(m.graph.output,exp): 
        o.CopyFrom(h.make_tensor_value_info(o.name,dt(e),[f"{o.name}_{i}" for i in range(e.ndim)]))
    open(d+"/model.onnx","wb").write(m.SerializeToString()); open(d+"/tolerance","w").write(f"{rtol} 1e-7\n")
    for i,(k,a) in enumerate(inputs.items()): open(f"{d}/test_data_set_0/input_{i}.pb","wb").write(nh.from_array(a,k).SerializeToString())
    for i,a in enumerate(exp): open(f"{d}/test_data_set_0/output_{i}.pb","wb").write(nh.from_array(a,outs[i]).SerializeToString())
    n+=1
F=[np.float32,np.float64,np.float16]
sp=lambda t: np.array([np.nan,np.inf,-np.inf,0.,-0.,1e-5,-1e-5,.5,-.5,1.,-1.,2.5,-2.5,3.5,10,-10,12,-12,20,-20,60,-60,88,-88,89,-89,104,-104,1000,-1000,60000,-60000],t)
tol={np.float32:2e-5,np.float64:1e-6,np.float16:2e-3}
un={"Sigmoid":{},"Tanh":{},"Relu":{},"Softplus":{},"Softsign":{},"Elu":{"alpha":.7},"Celu":{"alpha":.7},"Selu":{},"LeakyRelu":{"alpha":.1},"ThresholdedRelu":{"alpha":.5},
"HardSigmoid":{"alpha":.2,"beta":.5},"HardSwish":{},"Mish":{},"Gelu":{},"Exp":{},"Log":{},"Sqrt":{},"Abs":{},"Neg":{},"Sign":{},"Floor":{},"Ceil":{},"Round":{},"Erf":{},
"Reciprocal":{},"Sin":{},"Cos":{},"Tan":{},"Asin":{},"Acos":{},"Atan":{},"Sinh":{},"Cosh":{},"Asinh":{},"Acosh":{},"Atanh":{},"IsNaN":{},"IsInf":{},"Shrink":{"lambd":.5,"bias":.1},"Not":None,"Identity":{}}
for op,at in un.items():
    for t in F:
        if at is None: continue
        x=sp(t)
        case(f"un_{op}_{t.__name__}",[h.make_node(op,["x"],["y"],**at)],{"x":x},["y"],rtol=tol[t])
        # far from each other in size: one by one, so that the tolerance of the largest hides nothing
        small=x[(np.abs(x)<30)&np.isfinite(x)]
        case(f"un_{op}_{t.__name__}_small",[h.make_node(op,["x"],["y"],**at)],{"x":small},["y"],rtol=tol[t])
for t in F:
    x=np.stack([sp(t)[:8],sp(t)[8:16],sp(t)[16:24],sp(t)[24:32]])
    fin=np.where(np.isfinite(x),x,t(1))
    for nm,xx in (("nan",x),("fin",fin),("ninf",np.full((3,4),-np.inf,t)),("inf",np.array([[np.inf,1,2],[np.inf,np.inf,3],[-np.inf,1,2]],t)),("big",np.array([[60000,1,2],[-60000,-59999,-60000],[200,100,0]],t)),("none",np.zeros((3,0),t))):
        for op in ("Softmax","LogSoftmax","Hardmax"):
            if nm=="none": continue
            case(f"sm_{op}_{t.__name__}_{nm}",[h.make_node(op,["x"],["y"],axis=-1)],{"x":xx},["y"],rtol=tol[t])
        for op in ("ReduceMax","ReduceMin","ReduceSum","ReduceMean","ReduceProd","ReduceLogSumExp","ReduceLogSum","ReduceL1","ReduceL2","ReduceSumSquare"):
            case(f"red_{op}_{t.__name__}_{nm}",[h.make_node(op,["x","ax"],["y"],keepdims=1)],{"x":xx},["y"],inits={"ax":np.array([1])},rtol=tol[t])
            if nm in("fin","nan"):case(f"red_{op}_{t.__name__}_{nm}_all",[h.make_node(op,["x"],["y"],keepdims=0)],{"x":xx},["y"],rtol=tol[t])
        if nm!="none":
          for op in ("ArgMax","ArgMin"):
            for last in (0,1): case(f"arg_{op}_{t.__name__}_{nm}_{last}",[h.make_node(op,["x"],["y"],axis=1,keepdims=0,select_last_index=last)],{"x":xx},["y"])
    long=(np.ones(5000)*0.1).astype(t)
    for op in ("ReduceSum","ReduceMean","ReduceL2","ReduceSumSquare","ReduceL1","ReduceLogSumExp"):
        case(f"long_{op}_{t.__name__}",[h.make_node(op,["x"],["y"],keepdims=0)],{"x":long},["y"],rtol=tol[t])
    case(f"long_Softmax_{t.__name__}",[h.make_node("Softmax",["x"],["y"],axis=0)],{"x":long},["y"],rtol=tol[t])
    case(f"long_CumSum_{t.__name__}",[h.make_node("CumSum",["x","a"],["y"])],{"x":long},["y"],inits={"a":np.array(0)},rtol=tol[t]*(10 if t==np.float16 else 1))
    case(f"long_MatMul_{t.__name__}",[h.make_node("MatMul",["x","w"],["y"])],{"x":long[None]},["y"],inits={"w":np.ones((5000,3),t)},rtol=tol[t])
    case(f"gemm_{t.__name__}",[h.make_node("Gemm",["x","w","c"],["y"],alpha=.5,beta=2.,transB=1)],{"x":long[:12].reshape(3,4)},["y"],inits={"w":np.ones((5,4),t),"c":np.arange(5).astype(t)},rtol=tol[t])
    case(f"ln_{t.__name__}",[h.make_node("LayerNormalization",["x","w","c"],["y"])],{"x":(np.arange(300)%7*100).astype(t).reshape(3,100)},["y"],inits={"w":np.ones(100,t),"c":np.zeros(100,t)},rtol=tol[t])
    case(f"mean_{t.__name__}",[h.make_node("GlobalAveragePool",["x"],["y"])],{"x":(np.arange(20000)%7*100).astype(t).reshape(1,2,10000)},["y"],rtol=tol[t])
    case(f"avgpool_{t.__name__}",[h.make_node("AveragePool",["x"],["y"],kernel_shape=[5000])],{"x":(np.arange(20000)%7*100).astype(t).reshape(1,2,10000)},["y"],rtol=tol[t])
    case(f"bn_{t.__name__}",[h.make_node("BatchNormalization",["x","s","b","m","v"],["y"])],{"x":np.array([[[1,np.nan],[np.inf,-3]]],t)},["y"],inits={k:np.array([1,2],t) for k in "sbmv"},rtol=tol[t])
    case(f"in_{t.__name__}",[h.make_node("InstanceNormalization",["x","s","b"],["y"])],{"x":(np.arange(2000)%7*10).astype(t).reshape(1,2,1000)},["y"],inits={k:np.array([1,2],t) for k in "sb"},rtol=tol[t]*3)
    a=np.array([np.nan,1,np.nan,np.inf,-np.inf,3,0.,-0.,2,5],t); b=np.array([1,np.nan,np.nan,2,3,np.inf,-0.,0.,-7,3],t)
    for op in ("Max","Min","Add","Sub","Mul","Div","Pow","Less","Equal","Greater","GreaterOrEqual","LessOrEqual","PRelu","Mean","Sum"):
        case(f"bin_{op}_{t.__name__}",[h.make_node(op,["a","b"],["y"])],{"a":a,"b":b},["y"],rtol=tol[t])
        case(f"bin_{op}_{t.__name__}_const",[h.make_node(op,["a","b"],["y"])],{"a":a},["y"],inits={"b":b},rtol=tol[t])
        case(f"bin_{op}_{t.__name__}_scalar",[h.make_node(op,["a","b"],["y"])],{"a":a},["y"],inits={"b":np.array(2,t)},rtol=tol[t])
    case(f"bin_Mod_{t.__name__}",[h.make_node("Mod",["a","b"],["y"],fmod=1)],{"a":np.array([5.5,-5.5,5.5,-5.5,np.nan],t),"b":np.array([2,2,-2,-2,1],t)},["y"],rtol=tol[t])
    case(f"clip_{t.__name__}",[h.make_node("Clip",["x","lo","hi"],["y"])],{"x":sp(t)},["y"],inits={"lo":np.array(-1,t),"hi":np.array(1,t)},rtol=tol[t])
    case(f"clip_lo_{t.__name__}",[h.make_node("Clip",["x","lo"],["y"])],{"x":sp(t)},["y"],inits={"lo":np.array(-1,t)},rtol=tol[t])
    case(f"clip_dyn_{t.__name__}",[h.make_node("Clip",["x","lo","hi"],["y"])],{"x":sp(t),"lo":np.array(-1,t),"hi":np.array(1,t)},["y"],rtol=tol[t])
    case(f"where_{t.__name__}",[h.make_node("Where",["c","a","b"],["y"])],{"c":np.array([1,0]*5,bool),"a":a,"b":b},["y"],rtol=tol[t])
    case(f"maxpool_{t.__name__}",[h.make_node("MaxPool",["x"],["y"],kernel_shape=[2],strides=[2])],{"x":np.array([[[np.nan,1,2,3,-np.inf,-np.inf,np.inf,1]]],t)},["y"],rtol=tol[t])
    case(f"topk_{t.__name__}",[h.make_node("TopK",["x","k"],["v","i"])],{"x":np.array([[3,1,2,3,1.]],t)},["v","i"],inits={"k":np.array([3])},rtol=tol[t])
B=1<<31
ints=np.array([0,1,-1,5,-5,B-1,B,B+1,-B,-B-1,3*B+7,-(3*B+7),(1<<62),-(1<<62),(1<<63)-1],np.int64)
ints2=np.array([3,2,7,-3,3,B,B,2,B,3,B,B+5,1<<40,5,1],np.int64)
for op in ("Add","Sub","Mul","Div","Mod","Min","Max","Less","Greater","Equal","GreaterOrEqual","LessOrEqual","Pow"):
    a,b=ints,ints2
    if op=="Mul": b=np.where(np.abs(ints)>1<<40,1,ints2)
    if op=="Pow": a=np.array([2,3,-2,10,0,1<<31],np.int64); b=np.array([40,5,33,12,3,1],np.int64)
    at={}
    case(f"int_{op}",[h.make_node(op,["a","b"],["y"],**at)],{"a":a,"b":b},["y"])
    case(f"int_{op}_const",[h.make_node(op,["a","b"],["y"])],{"a":a},["y"],inits={"b":b})
    case(f"int_{op}_consta",[h.make_node(op,["a","b"],["y"])],{"b":b},["y"],inits={"a":a})
    case(f"int32_{op}",[h.make_node(op,["a","b"],["y"])],{"a":np.array([7,-7,7,-7,0,2],np.int32),"b":np.array([3,3,-3,-3,5,3],np.int32)} if op!="Pow" else {"a":np.array([7,-7],np.int32),"b":np.array([3,2],np.int32)},["y"])
    # with an extent of a shape: x [n, 4]
    for dynk in ((),("x",)):
        for cname,c in (("max",(1<<63)-1),("b31",B),("b32",1<<32),("m31",-B-5),("small",3)):
            if op in("Pow",) : continue
            if op=="Mul" and cname=="max": continue
            if op in("Mod","Div") and False: continue
            x=np.zeros((6,4),np.float32)
            for order in (0,1):
                ii=["s","c"] if order==0 else ["c","s"]
                if op=="Sub" and c==(1<<63)-1 and False: continue
                if op=="Add" and c==(1<<63)-1: continue
                case(f"shape_{op}_{cname}_{'dyn' if dynk else 'fix'}_{order}",[h.make_node("Shape",["x"],["s"]),h.make_node(op,ii,["y"])],{"x":x},["y"],inits={"c":np.array([c],np.int64)},dyn=dynk)
                case(f"shapeio_{op}_{cname}_{'dyn' if dynk else 'fix'}_{order}",[h.make_node("Shape",["x"],["s"]),h.make_node(op,ii,["y"])],{"x":x,"c":np.array([c],np.int64)},["y"],dyn=dynk)
for op in ("ReduceSum","ReduceMax","ReduceMin","ReduceProd","ReduceMean","ReduceSumSquare","ReduceL1","ReduceLogSum"):
    for t,v in ((np.int64,np.array([[B,B,5],[-B,-7,B]],np.int64)),(np.int32,np.array([[1,-2,3],[4,5,-6]],np.int32))):
        case(f"intred_{op}_{t.__name__}",[h.make_node(op,["x","ax"],["y"],keepdims=0)],{"x":v},["y"],inits={"ax":np.array([1])})
    case(f"intred_{op}_none",[h.make_node(op,["x","ax"],["y"],keepdims=0)],{"x":np.zeros((2,0),np.int64)},["y"],inits={"ax":np.array([1])})
    case(f"intred_{op}_shape",[h.make_node("Shape",["x"],["s"]),h.make_node("Mul",["s","c"],["t"]),h.make_node(op,["t"],["y"],keepdims=0)],{"x":np.zeros((6,4),np.float32)},["y"],inits={"c":np.array([B],np.int64)},dyn=("x",))
    case(f"intred_{op}_shape0",[h.make_node("Shape",["x"],["s"]),h.make_node(op,["s"],["y"],keepdims=0)],{"x":np.zeros((6,4),np.float32)},["y"],dyn=("x",))
fl=np.array([0.,1.5,-1.5,2.5,-2.5,2147483647.,2147483648.,-2147483649.,4294967297.,1e15,-1e15,9e18],np.float64)
for a,b in itertools.product((np.float32,np.float64,np.float16,np.int64,np.int32,np.bool_,np.uint8,np.int8),repeat=2):
    src={np.float32:fl.astype(np.float32),np.float64:fl,np.float16:np.array([0,1.5,-1.5,2.5,100,-3],np.float16),np.int64:ints,np.int32:np.array([0,1,-1,B-1,-B],np.int32),np.bool_:np.array([True,False]),np.uint8:np.array([0,1,255],np.uint8),np.int8:np.array([0,1,-128,127],np.int8)}[a]
    if b in(np.int32,) and a in(np.float32,np.float64): src=src[np.abs(src)<B]
    if b in(np.uint8,np.int8): 
        src=src[(src>=0)&(src<128)] if a!=np.bool_ else src
    if b==np.float16 and a!=np.bool_: src=src[np.abs(src.astype(np.float64))<6e4]
    with np.errstate(all="ignore"): e=src.astype(b)
    case(f"cast_{a.__name__}_{b.__name__}",[h.make_node("Cast",["x"],["y"],to=DT[b])],{"x":src},["y"],expected=[e])
for nm,ends in (("max",(1<<63)-1),("b31",B),("i31",B-1),("b32",(1<<32)),("b32p",(1<<32)+2)):
    x=np.arange(24,dtype=np.float32).reshape(6,4)
    for dyn in((),("x",)):
        s='dyn' if dyn else 'fix'
        case(f"slice_{nm}_{s}",[h.make_node("Slice",["x","st","en","ax"],["y"])],{"x":x},["y"],inits={"st":np.array([1]),"en":np.array([ends]),"ax":np.array([1])},dyn=dyn)
        case(f"slice_neg_{nm}_{s}",[h.make_node("Slice",["x","st","en","ax","sp"],["y"])],{"x":x},["y"],inits={"st":np.array([ends]),"en":np.array([-ends]),"ax":np.array([1]),"sp":np.array([-1])},dyn=dyn)
        case(f"slice_start_{nm}_{s}",[h.make_node("Slice",["x","st","en","ax"],["y"])],{"x":x},["y"],inits={"st":np.array([-ends]),"en":np.array([3]),"ax":np.array([0])},dyn=dyn)
        case(f"slice_io_{nm}_{s}",[h.make_node("Slice",["x","st","en","ax"],["y"])],{"x":x,"en":np.array([ends])},["y"],inits={"st":np.array([1]),"ax":np.array([1])},dyn=dyn)
        case(f"slice_cat_{nm}_{s}",[h.make_node("Shape",["x"],["s"]),h.make_node("Slice",["s","zero","one"],["n"]),h.make_node("Concat",["n","big"],["en"],axis=0),h.make_node("Slice",["x","st","en"],["y"])],{"x":x},["y"],inits={"zero":np.array([0]),"one":np.array([1]),"big":np.array([ends]),"st":np.array([1,1])},dyn=dyn)
        case(f"slice_where_{nm}_{s}",[h.make_node("Shape",["x"],["s"]),h.make_node("Less",["s","big"],["l"]),h.make_node("Where",["l","s","big"],["en"]),h.make_node("Slice",["x","st","en"],["y"])],{"x":x},["y"],inits={"big":np.array([ends]),"st":np.array([1,1])},dyn=dyn)
        case(f"where_{nm}_{s}",[h.make_node("Shape",["x"],["s"]),h.make_node("Where",["c","s","big"],["y"])],{"x":x,"c":np.array([True,False])},["y"],inits={"big":np.array([ends])},dyn=dyn)
        case(f"concat_{nm}_{s}",[h.make_node("Shape",["x"],["s"]),h.make_node("Concat",["s","big"],["y"],axis=0)],{"x":x},["y"],inits={"big":np.array([ends])},dyn=dyn)
        case(f"concatio_{nm}_{s}",[h.make_node("Shape",["x"],["s"]),h.make_node("Concat",["s","big"],["y"],axis=0)],{"x":x,"big":np.array([ends])},["y"],dyn=dyn)
        case(f"gather_{nm}_{s}",[h.make_node("Shape",["x"],["s"]),h.make_node("Concat",["s","big"],["t"],axis=0),h.make_node("Gather",["t","i"],["y"])],{"x":x},["y"],inits={"big":np.array([ends]),"i":np.array([2,0])},dyn=dyn)
        case(f"castshape_{nm}_{s}",[h.make_node("Shape",["x"],["s"]),h.make_node("Concat",["s","big"],["t"],axis=0),h.make_node("Cast",["t"],["y"],to=T.DOUBLE)],{"x":x},["y"],inits={"big":np.array([ends])},dyn=dyn)
        case(f"castshape64_{nm}_{s}",[h.make_node("Shape",["x"],["s"]),h.make_node("Concat",["s","big"],["t"],axis=0),h.make_node("Cast",["t"],["u"],to=T.DOUBLE),h.make_node("Cast",["u"],["y"],to=T.INT64)],{"x":x},["y"],inits={"big":np.array([min(ends,1<<50)])},dyn=dyn)
    case(f"range_{nm}",[h.make_node("Range",["a","b","c"],["y"])],{"a":np.array(ends-(3 if nm!="max" else 7))},["y"],inits={"b":np.array(ends),"c":np.array(1)})
    case(f"range_const_{nm}",[h.make_node("Range",["a","b","c"],["r"]),h.make_node("Add",["r","x"],["y"])],{"x":np.zeros(1,np.int64)},["y"],inits={"a":np.array(ends-3),"b":np.array(ends),"c":np.array(1)})
    case(f"range_shape_{nm}",[h.make_node("Shape",["x"],["s"],start=0,end=1),h.make_node("Squeeze",["s"],["q"]),h.make_node("Add",["q","a"],["b"]),h.make_node("Range",["a","b","c"],["y"])],{"x":x},["y"],inits={"a":np.array(ends-10),"c":np.array(1)},dyn=("x",))
    case(f"gathelems_{nm}",[h.make_node("Gather",["t","i"],["y"])],{"t":np.array([ends,5,-ends]),"i":np.array([0,2])},["y"])
    case(f"gathconst_{nm}",[h.make_node("Gather",["t","i"],["y"])],{"i":np.array([0,2])},["y"],inits={"t":np.array([ends,5,-ends])})
    case(f"cumsum_{nm}",[h.make_node("CumSum",["t","a"],["y"])],{"t":np.array([ends-10,5,2])},["y"],inits={"a":np.array(0)})
    case(f"topk_{nm}",[h.make_node("TopK",["t","k"],["v","i"])],{"t":np.array([5,ends,-ends,7,ends-1])},["v","i"],inits={"k":np.array([3])})
    case(f"clip_{nm}",[h.make_node("Clip",["t","lo","hi"],["y"])],{"t":np.array([5,ends,-ends,7,ends-1])},["y"],inits={"lo":np.array(-ends+1),"hi":np.array(ends-1)})
    case(f"absneg_{nm}",[h.make_node("Neg",["t"],["u"]),h.make_node("Abs",["u"],["v"]),h.make_node("Sign",["u"],["w"])],{"t":np.array([5,ends,-ends,7,ends-1])},["u","v","w"])
    case(f"matmulint_{nm}",[h.make_node("MatMul",["a","b"],["y"])],{"a":np.array([[min(ends,1<<40),1]]),"b":np.array([[3],[5]])},["y"])
    case(f"pad_{nm}",[h.make_node("Pad",["t","p","v"],["y"])],{"t":np.array([5,ends])},["y"],inits={"p":np.array([1,1]),"v":np.array(ends)})
    case(f"onehot_{nm}",[h.make_node("OneHot",["i","d","v"],["y"])],{"i":np.array([0,2])},["y"],inits={"d":np.array(3),"v":np.array([0,ends])})
    case(f"cos_{nm}",[h.make_node("ConstantOfShape",["s"],["y"],value=nh.from_array(np.array([ends])))],{"s":np.array([3])},["y"])
    case(f"scatter_{nm}",[h.make_node("ScatterElements",["t","i","u"],["y"])],{"t":np.array([1,2,3]),"i":np.array([0,2]),"u":np.array([ends,-ends])},["y"])
    case(f"argmax_{nm}",[h.make_node("ArgMax",["t"],["y"],axis=0)],{"t":np.array([5,ends,-ends,7,ends-1])},["y"])
    case(f"if_{nm}",[h.make_node("Shape",["x"],["s"]),h.make_node("Min",["s","big"],["t"]),h.make_node("Expand",["one","t"],["y"])],{"x":x},["y"],inits={"big":np.array([ends]),"one":np.ones((1,1),np.float32)},dyn=("x",))
x=np.arange(24,dtype=np.float32).reshape(2,3,4)
for p in ([0,-1,0,0,0,0],[0,2,0,0,-1,0],[-1,0,-1,0,-1,1],[0,-2,0,0,3,0]):
    for mode in ("constant","edge","reflect"):
        if min(p)<0 and mode=="reflect" and False: continue
        for dyn in((),("x",)):
            case(f"pad_{mode}_{'_'.join(map(str,p))}_{len(dyn)}",[h.make_node("Pad",["x","p"],["y"],mode=mode)],{"x":x},["y"],inits={"p":np.array(p)},dyn=dyn)
            case(f"padio_{mode}_{'_'.join(map(str,p))}_{len(dyn)}",[h.make_node("Pad",["x","p"],["y"],mode=mode)],{"x":x,"p":np.array(p)},["y"],dyn=dyn)
for k in (1,5,7):
    case(f"topk_k{k}",[h.make_node("TopK",["x","k"],["v","i"])],{"x":np.array([[3,1,2,9,8.]],np.float32),"k":np.array([k])},["v","i"])
    case(f"topk_ck{k}",[h.make_node("TopK",["x","k"],["v","i"])],{"x":np.array([[3,1,2,9,8.]],np.float32)},["v","i"],inits={"k":np.array([k])})
case("topk_len",[h.make_node("TopK",["l","k"],["v","i"],axis=0)],{"l":np.array([3,9,4,9,1])},["v","i"],inits={"k":np.array([5])},dyn=("l",))
case("topk_shape",[h.make_node("Shape",["x"],["s"]),h.make_node("TopK",["s","k"],["v","i"],axis=0)],{"x":x},["v","i"],inits={"k":np.array([1])},dyn=("x",))
case("topk_shape_fix",[h.make_node("Shape",["x"],["s"]),h.make_node("TopK",["s","k"],["v","i"],axis=0)],{"x":x},["v","i"],inits={"k":np.array([2])})
case("topk_small",[h.make_node("TopK",["x","k"],["v","i"],axis=1,largest=0)],{"x":x},["v","i"],inits={"k":np.array([2])},dyn=("x",))
case("compress",[h.make_node("Compress",["x","c"],["y"],axis=1)],{"x":x,"c":np.array([True,False,True])},["y"])
case("compress_flat",[h.make_node("Compress",["x","c"],["y"])],{"x":x,"c":np.array([True,False,True])},["y"],dyn=("x",))
for b,t in ((0,1),(1,0)):
    case(f"revseq_{b}{t}",[h.make_node("ReverseSequence",["x","l"],["y"],batch_axis=b,time_axis=t)],{"x":x,"l":np.array([2,3]) if b==0 else np.array([2,1,2])},["y"],dyn=("x",))
    case(f"revseq_i{b}{t}",[h.make_node("ReverseSequence",["x","l"],["y"],batch_axis=b,time_axis=t)],{"x":x.astype(np.int64),"l":np.array([1,3]) if b==0 else np.array([2,1,2])},["y"])
case("cos_default",[h.make_node("ConstantOfShape",["s"],["y"])],{"s":np.array([2,3])},["y"])
case("cos_default_shape",[h.make_node("Shape",["x"],["s"]),h.make_node("ConstantOfShape",["s"],["z"]),h.make_node("Add",["x","z"],["y"])],{"x":x},["y"],dyn=("x",))
for dyn in((),("x",)):
    case(f"conv_unit_{len(dyn)}",[h.make_node("Unsqueeze",["x","a"],["u"]),h.make_node("Conv",["u","w"],["y"],strides=[2,2],kernel_shape=[1,1])],{"x":x},["y"],inits={"a":np.array([2]),"w":np.ones((5,3,1,1),np.float32)},dyn=dyn)
    case(f"conv_unit3_{len(dyn)}",[h.make_node("Unsqueeze",["x","a"],["u"]),h.make_node("Conv",["u","w"],["y"],strides=[2,2],kernel_shape=[1,3],pads=[0,1,0,1])],{"x":x},["y"],inits={"a":np.array([2]),"w":np.ones((5,3,1,3),np.float32)},dyn=dyn)
    case(f"conv_group_{len(dyn)}",[h.make_node("Unsqueeze",["x","a"],["u"]),h.make_node("Conv",["u","w"],["y"],strides=[1,2],kernel_shape=[1,3],group=3,pads=[0,1,0,1])],{"x":x},["y"],inits={"a":np.array([2]),"w":np.ones((3,1,1,3),np.float32)},dyn=dyn)
    case(f"pool_unit_{len(dyn)}",[h.make_node("Unsqueeze",["x","a"],["u"]),h.make_node("MaxPool",["u"],["y"],strides=[2,2],kernel_shape=[1,2])],{"x":x},["y"],inits={"a":np.array([2])},dyn=dyn)
for ax in (0,1):
    q=np.arange(-12,12,dtype=np.int8).reshape(4,6)
    sc=np.array([[.5,.25,1],[2,1,.5],[1,1,1],[.1,.2,.3]],np.float32) if ax==1 else np.array([[.5]*6,[.25,1,2,1,1,1]],np.float32)
    case(f"dqblocked_{ax}",[h.make_node("DequantizeLinear",["q","s"],["y"],axis=ax,block_size=2)],{"q":q},["y"],inits={"s":sc},opset=21)
    case(f"dqblockedz_{ax}",[h.make_node("DequantizeLinear",["q","s","z"],["y"],axis=ax,block_size=2)],{"q":q},["y"],inits={"s":sc,"z":(sc*3).astype(np.int8)},opset=21)
case("idiv0",[h.make_node("Div",["a","b"],["y"])],{"a":np.array([1,2]),"b":np.array([1,0])},["y"],expected=[np.array([1,2])])
case("imod0",[h.make_node("Mod",["a","b"],["y"])],{"a":np.array([1,2]),"b":np.array([1,0])},["y"],expected=[np.array([1,2])])
case("idiv0_32",[h.make_node("Div",["a","b"],["y"])],{"a":np.array([1,2],np.int32),"b":np.array([1,0],np.int32)},["y"],expected=[np.array([1,2],np.int32)])
case("idivmin",[h.make_node("Div",["a","b"],["y"])],{"a":np.array([-(1<<63)]),"b":np.array([-1])},["y"],expected=[np.array([1])])
case("oov_gather",[h.make_node("Gather",["t","i"],["y"])],{"i":np.array([7])},["y"],inits={"t":np.ones((7,2),np.float32)},expected=[np.ones((1,2),np.float32)])
case("oov_gathern",[h.make_node("Gather",["t","i"],["y"])],{"i":np.array([-8])},["y"],inits={"t":np.ones((7,2),np.float32)},expected=[np.ones((1,2),np.float32)])
case("oov_gatherel",[h.make_node("GatherElements",["t","i"],["y"])],{"t":np.ones(3,np.float32),"i":np.array([3])},["y"],expected=[np.ones(1,np.float32)])
case("oov_gathernd",[h.make_node("GatherND",["t","i"],["y"])],{"t":np.ones(3,np.float32),"i":np.array([[3]])},["y"],expected=[np.ones(1,np.float32)])
case("oov_scatterel",[h.make_node("ScatterElements",["t","i","u"],["y"])],{"t":np.ones(3,np.float32),"i":np.array([3]),"u":np.ones(1,np.float32)},["y"],expected=[np.ones(3,np.float32)])
case("oov_scatternd",[h.make_node("ScatterND",["t","i","u"],["y"])],{"t":np.ones(3,np.float32),"i":np.array([[3]]),"u":np.ones(1,np.float32)},["y"],expected=[np.ones(3,np.float32)])
case("expand_big",[h.make_node("Expand",["t","s"],["y"])],{"t":np.ones(1,np.float32)},["y"],inits={"s":np.array([1<<32])},expected=[np.ones(3,np.float32)])
case("tile_big",[h.make_node("Tile",["t","s"],["y"])],{"t":np.ones(1,np.float32)},["y"],inits={"s":np.array([1<<32])},expected=[np.ones(3,np.float32)])
case("cos_big",[h.make_node("ConstantOfShape",["s"],["z"]),h.make_node("ReduceSum",["z"],["r"]),h.make_node("Add",["r","t"],["y"])],{"t":np.ones(1,np.float32)},["y"],inits={"s":np.array([1<<32])},expected=[np.ones(3,np.float32)])
case("expandio_big",[h.make_node("Expand",["t","s"],["y"])],{"t":np.ones(1,np.float32),"s":np.array([1<<32])},["y"],expected=[np.ones(3,np.float32)])
case("tileio_big",[h.make_node("Tile",["t","s"],["y"])],{"t":np.ones(1,np.float32),"s":np.array([1<<32])},["y"],expected=[np.ones(3,np.float32)])
case("cosio_big",[h.make_node("ConstantOfShape",["s"],["y"])],{"s":np.array([1<<32])},["y"],expected=[np.ones(3,np.float32)])
case("reshape_big",[h.make_node("Reshape",["t","s"],["y"])],{"t":np.ones(4,np.float32)},["y"],inits={"s":np.array([(1<<32)+4])},expected=[np.ones(3,np.float32)])
case("tile_ok",[h.make_node("Tile",["t","s"],["y"])],{"t":np.ones((2,3),np.float32),"s":np.array([2,2])},["y"])
case("expand_ok",[h.make_node("Expand",["t","s"],["y"])],{"t":np.ones((2,1),np.float32),"s":np.array([2,2])},["y"])
case("reshape_ok",[h.make_node("Reshape",["t","s"],["y"])],{"t":np.ones((2,6),np.float32),"s":np.array([3,-1])},["y"])
# Large numbers beside extents, in every operator that moves or computes integers.
x=np.arange(24,dtype=np.float32).reshape(6,4)
sh=h.make_node("Shape",["x"],["s"])
cat=h.make_node("Concat",["s","big"],["v"],axis=0)
BIGS={"b31":B,"b40":1<<40,"m40":-(1<<40),"max":(1<<63)-1}
for nm,big in BIGS.items():
  for dyn in ((),("x",)):
    d="dyn" if dyn else "fix"
    init={"big":np.array([big])}
    def c(name,nodes,outs=["y"],ins=None,extra={},opset=20):
        case(f"{name}_{nm}_{d}",[sh,cat]+nodes,ins or {"x":x},outs,inits={**init,**extra},dyn=dyn,opset=opset)
    N=h.make_node
    c("neg",[N("Neg",["v"],["y"])]) if big!=(1<<63)-1 or True else None
    c("abs",[N("Abs",["v"],["y"])])
    c("sign",[N("Sign",["v"],["y"])])
    c("squeeze",[N("Unsqueeze",["v","a"],["u"]),N("Squeeze",["u","a"],["y"])],extra={"a":np.array([0])})
    c("reshape",[N("Reshape",["v","r"],["y"])],extra={"r":np.array([3,1])})
    c("transpose",[N("Reshape",["v","r"],["u"]),N("Transpose",["u"],["y"],perm=[1,0])],extra={"r":np.array([3,1])})
    c("tile",[N("Tile",["v","r"],["y"])],extra={"r":np.array([2])})
    c("slicev",[N("Slice",["v","st","en"],["y"])],extra={"st":np.array([1]),"en":np.array([(1<<63)-1])})
    c("slicerev",[N("Slice",["v","st","en","ax","sp"],["y"])],extra={"st":np.array([-1]),"en":np.array([-(1<<63)]),"ax":np.array([0]),"sp":np.array([-1])})
    c("split",[N("Split",["v","k"],["y","z"],axis=0)],["y","z"],extra={"k":np.array([1,2])})
    c("padv",[N("Pad",["v","p"],["y"])],extra={"p":np.array([1,1])})
    c("expand",[N("Expand",["v","e"],["y"])],extra={"e":np.array([2,3])})
    c("identity",[N("Identity",["v"],["y"])])
    c("flatten",[N("Flatten",["v"],["y"],axis=0)])
    c("scatter",[N("ScatterElements",["v","i","u"],["y"])],extra={"i":np.array([0]),"u":np.array([big])})
    c("scatternd",[N("ScatterND",["v","i","u"],["y"])],extra={"i":np.array([[0]]),"u":np.array([big])})
    c("gathernd",[N("GatherND",["v","i"],["y"])],extra={"i":np.array([[2],[0]])})
    c("gatherel",[N("GatherElements",["v","i"],["y"])],extra={"i":np.array([2,0])})
    c("min3",[N("Min",["v","a","b"],["y"])],extra={"a":np.array([1<<35]),"b":np.array([5])})
    c("sum3",[N("Sum",["f","f","f"],["y"])] if False else [N("Cast",["v"],["f"],to=T.DOUBLE),N("Sum",["f","f"],["y"])])
    c("clipv",[N("Clip",["v","lo","hi"],["y"])],extra={"lo":np.array(5),"hi":np.array(1<<36)})
    c("castf",[N("Cast",["v"],["y"],to=T.FLOAT)])
    c("castb",[N("Cast",["v"],["y"],to=T.BOOL)])
    c("cast32",[N("Cast",["s"],["y"],to=T.INT32)])
    c("castround",[N("Cast",["v"],["f"],to=T.DOUBLE),N("Cast",["f"],["y"],to=T.INT64)]) if big<(1<<62) else None
    c("argmax",[N("ArgMax",["v"],["y"],axis=0)])
    c("argmin",[N("ArgMin",["v"],["y"],axis=0,keepdims=0)])
    c("topk",[N("TopK",["v","k"],["y","z"],axis=0)],["y","z"],extra={"k":np.array([2])})
    c("nonzero",[N("NonZero",["v"],["y"])])
    c("rmax",[N("ReduceMax",["v"],["y"],keepdims=0)])
    c("rsum",[N("ReduceSum",["s"],["y"],keepdims=0)])
    c("rprod",[N("ReduceProd",["s"],["p"],keepdims=1),N("Reshape",["x","p"],["y"])])
    c("cumsum",[N("CumSum",["s","z"],["y"])],extra={"z":np.array(0)})
    c("band",[N("BitwiseAnd",["v","m"],["y"])],extra={"m":np.array([(1<<41)-1])})
    c("pow",[N("Pow",["s","m"],["y"])],extra={"m":np.array([2])})
    c("modneg",[N("Mod",["v","m"],["y"])],extra={"m":np.array([-7])})
    c("divneg",[N("Div",["v","m"],["y"])],extra={"m":np.array([-7])})
    c("div2",[N("Div",["s","m"],["e"]),N("Expand",["one","e"],["y"])],extra={"m":np.array([2]),"one":np.ones((1,1),np.float32)})
    c("subexp",[N("Sub",["s","m"],["e"]),N("Expand",["one","e"],["y"])],extra={"m":np.array([3]),"one":np.ones((1,1),np.float32)})
    c("maxexp",[N("Max",["s","m"],["e"]),N("Expand",["one","e"],["y"])],extra={"m":np.array([5]),"one":np.ones((1,1),np.float32)})
    c("whereexp",[N("Greater",["s","m"],["g"]),N("Where",["g","s","one6"],["e"]),N("Expand",["one","e"],["y"])],extra={"m":np.array([5]),"one6":np.array([2]),"one":np.ones((1,1),np.float32)})
    c("eqand",[N("Equal",["v","big"],["e"]),N("Not",["e"],["n"]),N("Or",["e","n"],["y"])])
    c("size",[N("Size",["x"],["z"]),N("Add",["z","big"],["y"])])
    c("cosv",[N("ConstantOfShape",["s"],["y"],value=nh.from_array(np.array([big])))])
    c("coscat",[N("ConstantOfShape",["s"],["y"])])
    c("onehot",[N("OneHot",["i","dd","vv"],["y"])],extra={"i":np.array([0,1]),"dd":np.array(2),"vv":np.array([0,big])})
    c("gathshape",[N("Gather",["s","i"],["q"]),N("Unsqueeze",["q","a"],["qq"]),N("Concat",["qq","m1"],["r"],axis=0),N("Reshape",["x","r"],["y"])],extra={"i":np.array(0),"a":np.array([0]),"m1":np.array([-1])})
    c("slice_to_len",[N("Gather",["s","i"],["q"]),N("Sub",["q","one"],["e"]),N("Unsqueeze",["e","a"],["ee"]),N("Slice",["x","st","ee","a"],["y"])],extra={"i":np.array(0),"one":np.array(1),"a":np.array([0]),"st":np.array([0])})
    c("range_len",[N("Gather",["s","i"],["q"]),N("Range",["zero","q","one"],["r"]),N("Add",["r","big"],["y"])],extra={"i":np.array(0),"one":np.array(1),"zero":np.array(0)})
    c("tile_len",[N("Tile",["t","s"],["y"])],extra={"t":np.array([[big]])})
    # branches and loops
    cond=h.make_node("Greater",["q","three"],["cond"]); q=h.make_node("Gather",["s","zero"],["q"])
    for thr in (3,30):
        th=h.make_graph([h.make_node("Identity",["v"],["t1"])],"t",[],[h.make_tensor_value_info("t1",T.INT64,[3])])
        el=h.make_graph([h.make_node("Concat",["big","big","big"],["e1"],axis=0)],"e",[],[h.make_tensor_value_info("e1",T.INT64,[3])])
        c(f"if{thr}",[q,cond,h.make_node("If",["cond"],["y"],then_branch=th,else_branch=el)],extra={"zero":np.array(0),"three":np.array(thr)})
    body=h.make_graph([h.make_node("Add",["acc","one"],["acc2"]),h.make_node("Less",["i","lim"],["go"])],"b",
        [h.make_tensor_value_info("i",T.INT64,[]),h.make_tensor_value_info("gin",T.BOOL,[]),h.make_tensor_value_info("acc",T.INT64,[1])],
        [h.make_tensor_value_info("go",T.BOOL,[]),h.make_tensor_value_info("acc2",T.INT64,[1])])
    if big!=(1<<63)-1:
        c("loop",[h.make_node("Loop",["M","","big"],["y"],body=body)],extra={"M":np.array((1<<63)-1),"one":np.array([1]),"lim":np.array(4)})
for k in (1,2,3,5,100):
    for dyn in ((),("x",)):
        case(f"sliceend_{k}_{len(dyn)}",[h.make_node("Slice",["x","st","en","ax"],["y"])],{"x":x},["y"],inits={"st":np.array([1]),"en":np.array([k]),"ax":np.array([0])},dyn=dyn)
        case(f"sliceneg_{k}_{len(dyn)}",[h.make_node("Slice",["x","st","en","ax"],["y"])],{"x":x},["y"],inits={"st":np.array([-k]),"en":np.array([100]),"ax":np.array([0])},dyn=dyn)
        case(f"slicenegend_{k}_{len(dyn)}",[h.make_node("Slice",["x","st","en","ax"],["y"])],{"x":x},["y"],inits={"st":np.array([0]),"en":np.array([-k]),"ax":np.array([0])},dyn=dyn)
        case(f"slicestart_{k}_{len(dyn)}",[h.make_node("Slice",["x","st","en","ax"],["y"])],{"x":x},["y"],inits={"st":np.array([k]),"en":np.array([100]),"ax":np.array([0])},dyn=dyn)
        for st in (2,-1,-2):
            case(f"slicestep_{k}_{st}_{len(dyn)}",[h.make_node("Slice",["x","st","en","ax","sp"],["y"])],{"x":x},["y"],inits={"st":np.array([0 if st>0 else k]),"en":np.array([k if st>0 else -100]),"ax":np.array([0]),"sp":np.array([st])},dyn=dyn)
# Integers of 8 bits
rng=np.random.default_rng(8); f32=np.float32
for name,x in {"zeros":np.zeros((2,3),f32),"none":np.zeros((0,3),f32),"above":rng.random((4,5)).astype(f32)+1,"below":-rng.random((4,5)).astype(f32)-1,
        "both":rng.normal(0,3,(7,5,6)).astype(f32),"one":np.array([3.5],f32),"scalar":np.array(2.0,f32),"tiny":np.full(3,1e-30,f32),
        "ties":np.array([-127.5,127.5,0.5,-0.5,1.5],f32)}.items():
    for dyn in ((),("x",)):
        case(f"dql_{name}_{len(dyn)}",[h.make_node("DynamicQuantizeLinear",["x"],["q","s","z"])],{"x":x},["q","s","z"],dyn=dyn)
def bytes8(kind,*shape): i=np.iinfo(kind); return rng.integers(i.min,i.max+1,shape).astype(kind)
for a in (np.uint8,np.int8):
    for b in (np.uint8,np.int8):
        for j,(sa,sb) in enumerate((((3,5),(5,4)),((2,3,5),(5,4)),((2,3,5),(2,5,4)),((5,),(5,4)),((3,5),(5,)),((5,),(5,)),((1,700),(700,40)))):
            for za,zb in ((None,None),(7,3),(7,list(range(sb[-1]))) if len(sb)>1 else (7,None)):
                inits={"b":bytes8(b,*sb)}|({} if za is None else {"za":np.array(za,a)})|({} if zb is None else {"zb":np.array(zb,b)})
                names=["a","b","za" if za is not None else "","zb" if zb is not None else ""]
                while not names[-1]: names.pop()
                for dyn in ((),("a",)):
                    case(f"mmi_{np.dtype(a)}_{np.dtype(b)}_{j}_{za}_{np.ndim(zb) if zb is not None else None}_{len(dyn)}",[h.make_node("MatMulInteger",names,["y"])],{"a":bytes8(a,*sa)},["y"],inits=inits,dyn=dyn)
        for j,(sx,sw,kw) in enumerate((((1,2,9),(3,2,3),{}),((2,2,9),(3,2,3),{"strides":[2]}),((1,2,9,8),(3,2,3,3),{"pads":[1,1,1,1]}),((1,4,9),(4,1,3),{"group":4,"pads":[1,1]}),
                ((1,2,9),(3,2,3),{"dilations":[2]}),((1,2,9),(3,2,1),{"strides":[2]}),((1,2,9,8),(3,2,3,3),{"auto_pad":"SAME_UPPER"}))):
            for dyn in ((),("x",)):
                case(f"convi_{np.dtype(a)}_{np.dtype(b)}_{j}_{len(dyn)}",[h.make_node("ConvInteger",["x","w","zx","zw"],["y"],**kw)],{"x":bytes8(a,*sx)},["y"],inits={"w":bytes8(b,*sw),"zx":np.array(100,a),"zw":np.array(4,b)},dyn=dyn)
print(n)
