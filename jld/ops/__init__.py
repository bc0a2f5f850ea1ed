"""Compiled operators: one C++ loop body each, run by OpenMP on the CPU and by a thread grid on the GPU."""
