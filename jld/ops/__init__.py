"""Compiled operators: one C++ loop body each, run by OpenMP on the CPU and by a grid of threads on the GPU."""
