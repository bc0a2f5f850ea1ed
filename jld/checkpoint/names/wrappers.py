"""Where the model itself lies in a file: often behind a prefix, beside teachers and averages.

mmRazor's distillers keep the student as `architecture.`, semi-supervised ones as `student.`, Lightning
modules as `model.`; data-parallel and compiled modules add `module.` and `_orig_mod.`.
"""

from __future__ import annotations

import re

from jld.checkpoint.names.rules import State

WRAPPERS = (
    "module.",
    "_orig_mod.",
    "architecture.",
    "student.",
    "student_model.",
    "model.",
    "detector.",
    "net.",
    # Running averages, where a file holds nothing else.
    "ema_model.",
    "model_ema.",
    "averaged_model.",
    "ema.",
)
# What a detector, a bare backbone or a stage of one begins with, in any framework's words.
_PARTS = re.compile(
    r"(backbone|neck|bbox_head|rpn_head|roi_head|mask_head|conv1|stem|layer\d|bottom_up|res\d)\."
)
_OWN_NAMES = re.compile(rf"(?P<wrapper>.*?\.){_PARTS.pattern}")
_BESIDE = (
    (re.compile(r"(\w+\.)*teacher(_model)?s?\."), "teacher kept beside the student"),
    (re.compile(r"(\w+\.)*(ema|ema_model|model_ema|averaged_model)\."), "running average beside the weights"),
)
MAX_DEPTH = 6


def student_part(state: State) -> tuple[dict, dict[str, str]]:
    """(the model's own names to arrays, {name in the file: why it is left out}).

    A prefix is taken off where no name stands without it that looks like a part of a detector, but some do
    behind it; whatever lies beside is left out. Where none of `WRAPPERS` does so, a prefix that all parts
    share is one (`network.`, `lit_model.`), but that of a teacher.
    """
    part, dropped, prefix = dict(state), {}, ""
    for _ in range(MAX_DEPTH):
        wrapper = next((each for each in WRAPPERS if _wraps(part, each)), None) or _shared_wrapper(part)
        if wrapper is None:
            break
        for name in part:
            if not name.startswith(wrapper):
                dropped[prefix + name] = _reason(name, prefix + wrapper)
        part = {name.removeprefix(wrapper): part[name] for name in part if name.startswith(wrapper)}
        prefix += wrapper
    return part, dropped


def _shared_wrapper(state: State) -> str | None:
    found = set()
    for name in state:
        if _PARTS.match(name):
            return None
        match = _OWN_NAMES.match(name)
        if match is not None and not any(pattern.match(match["wrapper"]) for pattern, _ in _BESIDE):
            found.add(match["wrapper"])
    return found.pop() if len(found) == 1 else None


def _wraps(state: State, wrapper: str) -> bool:
    has_inside = False
    for name in state:
        if _PARTS.match(name):
            return False
        is_inside = name.startswith(wrapper)
        # `module.architecture.backbone`: the part may lie behind further wrappers.
        has_inside |= is_inside and _is_part(name.removeprefix(wrapper))
    return has_inside


def _is_part(name: str) -> bool:
    for _ in range(MAX_DEPTH):
        if _PARTS.match(name):
            return True
        wrapper = next((each for each in WRAPPERS if name.startswith(each)), None)
        if wrapper is None:
            return False
        name = name.removeprefix(wrapper)
    return False


def _reason(name: str, kept: str) -> str:
    found = (reason for pattern, reason in _BESIDE if pattern.match(name))
    return next(found, f"beside the model, which is {kept}*")
