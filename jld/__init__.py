"""jld: distillation of object detectors in Jittor."""

__version__ = "0.1.0"
