"""Running experiments: the loop, its hooks, training states, and the four tasks."""

from jld.runner.early_stopping import EarlyStopping
from jld.runner.history import LossHistory
from jld.runner.hooks import CheckpointHook, EMAHook, EvaluationHook, Hook, LogHook
from jld.runner.logs import RunLogger
from jld.runner.loop import TrainingLoop
from jld.runner.prototypes import PrototypeHook
from jld.runner.runner import TASKS, Runner
from jld.runner.tasks import draw_detections, evaluate, predict
from jld.runner.trackers import MLflowLogger, SwanLabLogger, WandbLogger

__all__ = [
    "TASKS",
    "CheckpointHook",
    "EMAHook",
    "EarlyStopping",
    "EvaluationHook",
    "Hook",
    "LogHook",
    "LossHistory",
    "MLflowLogger",
    "PrototypeHook",
    "RunLogger",
    "Runner",
    "SwanLabLogger",
    "TrainingLoop",
    "WandbLogger",
    "draw_detections",
    "evaluate",
    "predict",
]
