"""Detector, losses, distillation and detection in plain PyTorch: what the benchmark compares jld with.

A package that stands alone: an interpreter that has torch and NumPy runs it as a program (`__main__.py`), and
need not have jld; hence its own copy of the arithmetic, and imports relative to itself. Eager mode, as users
of the reference package train; images in one batch, priors of all levels in one axis.
"""
