"""The last layer of the class branch, when a file knows other classes than the model."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from jld.checkpoint.names.jdet import embed_pointwise
from jld.errors import CheckpointError, suggestion

LAYERS = ("gfl_cls", "atss_cls", "retina_cls", "conv_cls", "fcos_cls")
PARAMETER = re.compile(rf"bbox_head\.({'|'.join(LAYERS)})\.(weight|bias)")
CHOICES = ("load", "leave_out", "by_name")


def check_choice(choice: str) -> str:
    """The choice, if there is such a one.

    Raises:
        CheckpointError: there is not.
    """
    if choice not in CHOICES:
        raise CheckpointError(f"class layers are not loaded as {choice!r}: {suggestion(choice, CHOICES)}")
    return choice


def require_names(file_classes: Sequence[str], model_classes: Sequence[str]) -> list[str]:
    """The classes both sides know, in the model's order.

    Raises:
        CheckpointError: a side does not name its classes, or they share none.
    """
    for side, names in (("the file", file_classes), ("the model", model_classes)):
        if not names:
            raise CheckpointError(f"{side} does not name its classes: use 'leave_out' instead of 'by_name'.")
    shared = [name for name in model_classes if name in file_classes]
    if not shared:
        raise CheckpointError(
            f"the file's classes ({', '.join(file_classes[:5])}, ...) share no name with the model's "
            f"({', '.join(model_classes[:5])}, ...): use 'leave_out' instead of 'by_name'."
        )
    return shared


def classes_by_name(
    values: np.ndarray, initial: np.ndarray, file_classes: Sequence[str], model_classes: Sequence[str]
) -> np.ndarray | None:
    """A class layer's weight or bias for the model, with the file's rows for the classes that both know.

    Args:
        values: [A * C', ...] of the file; A anchors (1 where there are none), C' its classes.
        initial: [A * C, ...] of the model, kept for the classes the file lacks.
        file_classes, model_classes: names in the order of the labels.
    Returns:
        [A * C, ...], or None where the shapes do not go together.
    """
    if values.ndim == 4 and values.shape[2:] == (1, 1) and initial.shape[2:] == (3, 3):
        values = embed_pointwise(values)
    num_there, num_here = len(file_classes), len(model_classes)
    fits = values.shape[1:] == initial.shape[1:] and not values.shape[0] % num_there
    if not fits or values.shape[0] // num_there * num_here != initial.shape[0]:
        return None
    rows = values.reshape(-1, num_there, *values.shape[1:])
    merged = np.array(initial, np.float32).reshape(-1, num_here, *initial.shape[1:])
    for name in require_names(file_classes, model_classes):
        merged[:, model_classes.index(name)] = rows[:, file_classes.index(name)]
    return merged.reshape(initial.shape)
