"""mmDetection files, the localization distillation release included: our names are theirs."""

from __future__ import annotations

from jld.checkpoint.names.rules import Mapped, Rules, State, apply_rules, counts_batches, has_prefix

DROPS: Rules = (
    (r"^bbox_head\.teacher_models?\.", "teacher kept inside the head by 2021 distillation code"),
    (r"^teacher(_model)?\.", "teacher kept beside the student"),
    (r"^ema_", "running average of mmcv's EMA hook"),
    (r"^data_preprocessor\.", "image statistics, which our configs state"),
    (r"^(head\.)?fc\.", "ImageNet classifier"),
)
RENAMES: Rules = ()


def detect(state: State) -> float:
    """How surely the names are mmDetection's, 0 to 1."""
    if not has_prefix(state, "backbone.") or not has_prefix(
        state, "neck.", "bbox_head.", "rpn_head.", "head."
    ):
        return 0.0
    return 0.7 if counts_batches(state) else 0.3


def map_name(name: str) -> Mapped:
    """Our spelling of a name, or why it is dropped."""
    return apply_rules(name, DROPS, RENAMES)
