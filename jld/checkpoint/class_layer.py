"""The last layer of the class branch, when a file knows other classes than the model."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from jld.checkpoint.names.jdet import embed_pointwise
from jld.errors import CheckpointError, suggestion

LAYERS = ("gfl_cls", "atss_cls", "retina_cls", "conv_cls", "fcos_cls")
# Of a second stage: classes and background, a box for every class, a mask for every class.
_OF_ROIS = r"roi_head\.(bbox_head\.fc_cls|bbox_head\.fc_reg|mask_head\.conv_logits)"
PARAMETER = re.compile(rf"(bbox_head\.({'|'.join(LAYERS)})|{_OF_ROIS})\.(weight|bias)")
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
    name: str,
    values: np.ndarray,
    initial: np.ndarray,
    *,
    file_classes: Sequence[str],
    model_classes: Sequence[str],
) -> np.ndarray | None:
    """A class layer's weight or bias for the model, with the file's rows for the classes that both know.

    Args:
        name: of the parameter, which tells how its rows go by classes. The shapes below are a dense head's; a
            box head has a row for each class and the background, and four for the box of each class.
        values: [A * C', ...] of the file; A anchors (1 where there are none), C' its classes.
        initial: [A * C, ...] of the model, kept for the classes the file lacks.
        file_classes, model_classes: names in the order of the labels.
    Returns:
        [A * C, ...], or None where the shapes do not go together.
    """
    if values.ndim == 4 and values.shape[2:] == (1, 1) and initial.shape[2:] == (3, 3):
        values = embed_pointwise(values)
    if name.startswith("roi_head."):
        has_background = ".fc_cls." in name
        return _rows_of_rois(values, initial, (file_classes, model_classes), int(has_background))
    num_there, num_here = len(file_classes), len(model_classes)
    fits = values.shape[1:] == initial.shape[1:] and not values.shape[0] % num_there
    if not fits or values.shape[0] // num_there * num_here != initial.shape[0]:
        return None
    rows = values.reshape(-1, num_there, *values.shape[1:])
    merged = np.array(initial, np.float32).reshape(-1, num_here, *initial.shape[1:])
    for each in require_names(file_classes, model_classes):
        merged[:, model_classes.index(each)] = rows[:, file_classes.index(each)]
    return merged.reshape(initial.shape)


def _rows_of_rois(
    values: np.ndarray, initial: np.ndarray, classes: tuple[Sequence[str], Sequence[str]], behind: int
) -> np.ndarray | None:
    """See `classes_by_name`; `behind` rows follow those of the classes."""
    if not behind and values.shape == initial.shape and len(values) in (1, 4):
        return values  # one box or mask for all classes
    file_classes, model_classes = classes
    there, here = len(values) - behind, len(initial) - behind
    size, rest = divmod(there, len(file_classes))
    if rest or size * len(model_classes) != here or values.shape[1:] != initial.shape[1:]:
        return None
    merged = np.array(initial, np.float32)
    if behind:
        merged[-1] = values[-1]
    for each in require_names(file_classes, model_classes):
        own, given = model_classes.index(each) * size, file_classes.index(each) * size
        merged[own : own + size] = values[given : given + size]
    return merged
