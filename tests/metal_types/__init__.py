"""Type-checks Metal sources on any machine, as MLX hands them to Apple's compiler.

Clang's C++ for OpenCL has Metal's address spaces under other names: `device`, `constant` and `threadgroup` are
`__global`, `__constant` and `__local`, so a pointer into the wrong one is an error here too. Not checked: registers,
speed, and Apple's compiler itself.
"""

from metal_types.check import faults
from metal_types.sources import lstm_source, sinc_source

__all__ = ["faults", "lstm_source", "sinc_source"]
