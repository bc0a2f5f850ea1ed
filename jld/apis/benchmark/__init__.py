"""Measurements of training steps, detection, assignment and convolutions for `tools/benchmark.py`."""

from jld.apis.benchmark.cold import benchmark_cold
from jld.apis.benchmark.operations import benchmark_assignment, benchmark_convolutions, benchmark_inference
from jld.apis.benchmark.peer import benchmark_networks
from jld.apis.benchmark.report import Report, machine_report, machine_text
from jld.apis.benchmark.rotated import benchmark_rotated
from jld.apis.benchmark.rotated_peers import PeerTools
from jld.apis.benchmark.rotated_scene import RotatedSizes
from jld.apis.benchmark.scene import Settings
from jld.apis.benchmark.train import benchmark_train

BENCHMARKS = {
    "train": benchmark_train,
    "networks": benchmark_networks,
    "inference": benchmark_inference,
    "assign": benchmark_assignment,
    "conv": benchmark_convolutions,
    "rotated": benchmark_rotated,
}
"""{name: function of Settings that returns a Report}."""

__all__ = [
    "BENCHMARKS",
    "PeerTools",
    "Report",
    "RotatedSizes",
    "Settings",
    "benchmark_assignment",
    "benchmark_cold",
    "benchmark_convolutions",
    "benchmark_inference",
    "benchmark_networks",
    "benchmark_rotated",
    "benchmark_train",
    "machine_report",
    "machine_text",
]
