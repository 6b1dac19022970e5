"""Runs the bodies of `mx.fast.metal_kernel` and `mx.fast.cuda_kernel` unchanged on the CPU, to check their logic.

A fiber per GPU thread, real barriers, lock-step simdgroups. Reported as `KernelFault`: reads and writes out of bounds,
misaligned vector loads, reads of threadgroup memory or outputs that nobody wrote, races between two barriers (a write
of one component of a vector counts as one of the whole), barriers that not all threads reach, too much threadgroup
memory. Not checked: the languages' own rules, address spaces, speed.
"""

from metal_on_cpu.arrays import BFLOAT16, from_bfloat16, to_bfloat16
from metal_on_cpu.kernel import Kernel, KernelFault, cuda_kernel, metal_kernel
from metal_on_cpu.on_mlx import on_mlx
from metal_on_cpu.skips import need, needs_compiler

__all__ = [
    "BFLOAT16",
    "Kernel",
    "KernelFault",
    "cuda_kernel",
    "from_bfloat16",
    "metal_kernel",
    "need",
    "needs_compiler",
    "on_mlx",
    "to_bfloat16",
]
