"""Reading, converting and writing weights and training states, without Jittor and without PyTorch."""

from jld.checkpoint.atomic import atomic_write
from jld.checkpoint.convert import ConvertOptions, convert_file, convert_state
from jld.checkpoint.export import to_mmdet, write_weights
from jld.checkpoint.names import ORIGINS, detect_origin, map_name
from jld.checkpoint.publish import publish_model
from jld.checkpoint.reader import Checkpoint, read_checkpoint
from jld.checkpoint.report import Report, require_complete
from jld.checkpoint.safetensors_files import read_safetensors, write_safetensors
from jld.checkpoint.torch_writer import write_torch
from jld.checkpoint.training_state import (
    averaged_weights,
    hook_states,
    read_training_state,
    write_training_state,
)

__all__ = [
    "ORIGINS",
    "Checkpoint",
    "ConvertOptions",
    "Report",
    "atomic_write",
    "averaged_weights",
    "convert_file",
    "convert_state",
    "detect_origin",
    "hook_states",
    "map_name",
    "publish_model",
    "read_checkpoint",
    "read_safetensors",
    "read_training_state",
    "require_complete",
    "to_mmdet",
    "write_safetensors",
    "write_torch",
    "write_training_state",
    "write_weights",
]
