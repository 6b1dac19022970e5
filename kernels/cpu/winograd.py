"""Short convolutions over time with fewer products: 6 for 4 outputs of 3 taps (not 12), or for 2 of 5 taps (not 10).

Winograd's minimal filtering F(4, 3) and F(2, 5) at the points 0, 1, -1, 2, -2 and infinity (Winograd 1980; Lavin & Gray
2016, https://arxiv.org/abs/1509.09308). Both take 6 inputs d and form the same six sums v, whatever the filter:

    v_0 = 4 d_0 - 5 d_2 + d_4,  v_5 = 4 d_1 - 5 d_3 + d_5,  and for the points p of 1, -1, 2, -2 with q = 5 - p^2
    v = d_4 - q d_2 + p (d_3 - q d_1)

Each v_j is multiplied by u_j, which depends on the filter (a matrix product when summing over channels), giving m_j.
The outputs are y_k = m_0 [k = 0] + sum over p of p^k m_p + m_5 [k last]. In float32 the error is about 1e-6 of the
largest sum.
"""

# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

from typing import Any

import numpy as np

from .jit import compiled
from .simd import LANES, add, fma, load, splat, store, sub

PRODUCTS = 6
POINTS = (0, 1, -1, 2, -2)
_jit: Any = compiled(error_model="numpy")


def transform_taps(weight: np.ndarray) -> np.ndarray:
    """The transformed filter u, computed in float64. Shapes: (taps, ...), 3 or 5 taps -> (6, ...) float32."""
    taps = len(weight)
    rows = [[point**k / np.prod([point - other for other in POINTS if other != point]) for k in range(taps)]
            for point in POINTS]  # fmt: skip
    rows.append([0.0] * (taps - 1) + [1.0])
    transformed: np.ndarray = np.tensordot(np.array(rows), weight.astype(np.float64), axes=1).astype(np.float32)
    return transformed


@_jit
def transform_inputs(x, x0, step, count, out, out0, out_step):
    """The sums v_0 .. v_5 of the six runs of `count` values at x0, x0 + step, ...; v_j goes to out0 + j out_step.

    x and out are flat; `count` is rounded up to whole vectors.
    """
    four, minus_five, two = splat(np.float32(4)), splat(np.float32(-5)), splat(np.float32(2))
    minus_four, minus_two = splat(np.float32(-4)), splat(np.float32(-2))
    for c in range(0, count, LANES):
        i, o = x0 + c, out0 + c
        d0, d1, d2 = load(x, i), load(x, i + step), load(x, i + 2 * step)
        d3, d4, d5 = load(x, i + 3 * step), load(x, i + 4 * step), load(x, i + 5 * step)
        store(out, o, fma(four, d0, fma(minus_five, d2, d4)))
        even, odd = fma(minus_four, d2, d4), fma(minus_four, d1, d3)
        store(out, o + out_step, add(even, odd))
        store(out, o + 2 * out_step, sub(even, odd))
        even, odd = sub(d4, d2), sub(d3, d1)
        store(out, o + 3 * out_step, fma(two, odd, even))
        store(out, o + 4 * out_step, fma(minus_two, odd, even))
        store(out, o + 5 * out_step, fma(four, d1, fma(minus_five, d3, d5)))
