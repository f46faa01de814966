"""The kernels of nnrt._ref compiled by Numba: where no extension is built, or by choice."""
