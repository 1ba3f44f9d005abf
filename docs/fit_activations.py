#!/usr/bin/env python3
"""Fits the coefficients of kernels/src/activation.rs and prints them as the source has them.

    pip install mpmath && python3 docs/fit_activations.py

Deterministic, takes seconds. The reasoning behind the formulas is in the documentation of the module
`activation`; the errors of the finished f32 functions are measured by
`cargo run --release -p rnnpack-kernels --example exhaustive_activations`.
"""

import struct

from mpmath import cos, floor, log, lu_solve, matrix, mp, mpf, pi, tanh

mp.dps = 40
LN2 = log(2)
SCALE = mpf("1.6875")  # `SIGMOID_SCALE`: scale * (1 ± tanh(ln2/4)) stays in [1, 2), near its upper end
MARGIN = 1 + mpf(10) ** -5  # the rounding of x/ln2 lets |r| go a little past half a step


def f32(x):
    """The f32 nearest to x (through f64, which is exact enough here)."""
    return struct.unpack("<f", struct.pack("<f", float(x)))[0]


def literal(x):
    """The shortest decimal that reads back as the f32 x, and its bits."""
    text = next(t for t in (f"{x:.{digits}g}" for digits in range(1, 18)) if f32(float(t)) == x)
    bits = struct.unpack("<I", struct.pack("<f", x))[0]
    return f"{text}  // 0x{bits:08x}"


def minimax(basis, target, weight, top, points=2000):
    """Coefficients c minimizing max |weight(r) * (sum c_j basis_j(r) - target(r))| over a grid of (0, top].

    Remez's exchange: solve for equal errors of alternating sign at the reference points, then move these
    points to the extrema of the error, until the largest error is the levelled one.
    """
    grid = [top * i / points for i in range(1, points + 1)]
    rows = [[weight(r) * f(r) for f in basis] for r in grid]
    wanted = [weight(r) * target(r) for r in grid]
    size = len(basis) + 1
    ref = [int((1 - cos(pi * (i + mpf(0.5)) / size)) / 2 * points) for i in range(size)]
    while True:
        system = matrix([rows[t] + [(-1) ** i] for i, t in enumerate(ref)])
        *coefficients, level = lu_solve(system, matrix([wanted[t] for t in ref]))
        error = [w - sum(c * b for c, b in zip(coefficients, row)) for row, w in zip(rows, wanted)]
        worst = max(map(abs, error))
        if worst <= abs(level) * (1 + mpf(10) ** -6):
            return coefficients, worst
        ref = []
        for t, e in enumerate(error):
            if not ref or (e > 0) != (error[ref[-1]] > 0):
                ref.append(t)
            elif abs(e) > abs(error[ref[-1]]):
                ref[-1] = t
        while len(ref) > size:
            ref.pop(0 if abs(error[ref[0]]) < abs(error[ref[-1]]) else -1)


def show(name, value):
    print(f"{name:14} = {literal(f32(value))}")


# ln2 = LN2_HI + LN2_LO: 15 bits in the high part, so that its products with integers below 2^9 are exact.
hi = floor(LN2 * 2**15) / 2**15
show("LOG2_E", 1 / LN2)
show("LN2_HI", hi)
show("LN2_LO", LN2 - hi)
show("HALF_LN2", LN2 / 2)

# sigmoid: SCALE * tanh(r/2) = r * (S0 + S1 r^2 + S2 r^4). With b = tanh(r/2), e^r = (1 + b) / (1 - b), whose
# relative error is 2 / (1 - b^2) times the absolute error of b: that is what is levelled.
coefficients, worst = minimax(
    [lambda r, k=k: r ** (2 * k + 1) for k in range(3)],
    lambda r: tanh(r / 2),
    lambda r: 2 / (1 - tanh(r / 2) ** 2),
    LN2 / 2 * MARGIN,
)
print(f"\nsigmoid: relative error of e^r below {float(worst * 2**24):.2f} * 2^-24")
for k, c in enumerate(coefficients):
    show(f"S{k}", SCALE * c)

# tanh: tanh(r) = r * (1 + r^2 * (T0 + T1 r^2)), relative error. Where n = ±1 takes over from n = 0, at the
# end of the interval, the error reaches the result together with more rounding errors, so it gets more weight
# there. The weight decides: of those tried, 1.5 brings the largest error, over all f32, below 2.5 ULP.
top = LN2 / 4 * MARGIN
coefficients, worst = minimax(
    [lambda r, k=k: r ** (2 * k + 3) for k in range(2)],
    lambda r: tanh(r) - r,
    lambda r: (1 + 1.5 * (r / top) ** 8) / tanh(r),
    top,
)
print(f"\ntanh: weighted relative error of tanh(r) below {float(worst * 2**24):.2f} * 2^-24")
for k, c in enumerate(coefficients):
    show(f"T{k}", c)
