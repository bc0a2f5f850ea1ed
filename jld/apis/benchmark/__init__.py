"""Measurements of training steps, detection, assignment and convolutions for `tools/benchmark.py`."""

from jld.apis.benchmark.cold import benchmark_cold
from jld.apis.benchmark.inference import benchmark_inference
from jld.apis.benchmark.networks import benchmark_networks
from jld.apis.benchmark.operations import benchmark_assignment, benchmark_convolutions
from jld.apis.benchmark.peer import Duel
from jld.apis.benchmark.report import Report, machine_report, machine_text
from jld.apis.benchmark.rotated import benchmark_rotated
from jld.apis.benchmark.rotated_peers import PeerTools
from jld.apis.benchmark.rotated_scene import RotatedSizes
from jld.apis.benchmark.scene import Settings
from jld.apis.benchmark.train import benchmark_train

DUELS = {"train": benchmark_train, "networks": benchmark_networks, "inference": benchmark_inference}
"""{name: function of Settings and a Duel that returns a Report}."""
BENCHMARKS = {"assign": benchmark_assignment, "conv": benchmark_convolutions, "rotated": benchmark_rotated}
"""{name: function of Settings that returns a Report}."""

__all__ = [
    "BENCHMARKS",
    "DUELS",
    "Duel",
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
