"""Operators: compiled loops, for OpenMP on the CPU and thread grids on the GPU, and what is built of them."""
