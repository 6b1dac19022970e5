"""Sizes of the two networks that the kernels are written for, in one place; `stream/windows.py` reads them too."""

from __future__ import annotations

SINC_TAPS = 251  # SincNet's filterbank
SINC_STRIDE = 10
CONV_TAPS = 5  # SincNet's convolutions after the filterbank
POOL = 3  # frames per maximum, after the filterbank and after each convolution
MASK_STEPS = 100  # steps that share one mask in CAM++ (Wang et al. 2023, section 2.3)
