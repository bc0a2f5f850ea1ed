"""Measurements of training steps, detection and single operators for `tools/benchmark.py`."""

from projects.benchmark.cold import benchmark_cold
from projects.benchmark.inference import benchmark_inference
from projects.benchmark.methods import benchmark_methods
from projects.benchmark.networks import benchmark_networks
from projects.benchmark.operations import benchmark_assignment, benchmark_convolutions
from projects.benchmark.peer import Duel
from projects.benchmark.report import Report, machine_report, machine_text
from projects.benchmark.rois import benchmark_rois
from projects.benchmark.rotated import benchmark_rotated
from projects.benchmark.rotated_peers import PeerTools
from projects.benchmark.rotated_scene import RotatedSizes
from projects.benchmark.scene import Settings
from projects.benchmark.scores import benchmark_scores
from projects.benchmark.train import benchmark_train

DUELS = {
    "train": benchmark_train,
    "networks": benchmark_networks,
    "inference": benchmark_inference,
    "rois": benchmark_rois,
}
"""{name: function of Settings and a Duel that returns a Report}."""
BENCHMARKS = {
    "assign": benchmark_assignment,
    "conv": benchmark_convolutions,
    "scores": benchmark_scores,
}
"""{name: function of Settings that returns a Report}."""
