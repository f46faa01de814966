"""Compiled kernels: C for the loops, Cython for the drivers; the default back-end."""
