"""Derivatives: one file per family of ops.

An op checks shapes, chooses the algorithm, allocates and calls kernels; right below it
stands its backward. Ops know Tensors, kernels know arrays. A public function whose first
parameter is named `input` (`x`, `tensor`) is also a method of Tensor.
"""
