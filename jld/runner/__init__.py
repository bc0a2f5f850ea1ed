"""Running experiments: the loop, its hooks, training states, and the four tasks."""

from jld.runner.history import LossHistory
from jld.runner.hooks import CheckpointHook, EMAHook, EvaluationHook, Hook, LogHook
from jld.runner.logs import RunLogger
from jld.runner.loop import TrainingLoop
from jld.runner.prototypes import PrototypeHook
from jld.runner.runner import TASKS, Runner
from jld.runner.tasks import draw_detections, evaluate, predict

__all__ = [
    "TASKS",
    "CheckpointHook",
    "EMAHook",
    "EvaluationHook",
    "Hook",
    "LogHook",
    "LossHistory",
    "PrototypeHook",
    "RunLogger",
    "Runner",
    "TrainingLoop",
    "draw_detections",
    "evaluate",
    "predict",
]
