"""JDet files: mmRotate's names without counters and constants, and prediction layers of one by one."""

from __future__ import annotations

import numpy as np

from jld.checkpoint.names.rules import Mapped, Rules, State, apply_rules, counts_batches, has_prefix

DROPS: Rules = (
    (r"^teacher(_model)?\.", "teacher kept beside the student"),
    (r"^backbone\.fc\.", "ImageNet classifier"),
)
# JDet predicts with 1x1 kernels where mmRotate and we have 3x3; the same map with zeros around it.
POINTWISE_KERNELS = r"^bbox_head\.(retina|gfl|atss|conv)_(cls|reg|centerness)\.weight$"


def detect(state: State) -> float:
    """How surely the names are JDet's, 0 to 1."""
    if not has_prefix(state, "backbone.") or not has_prefix(state, "bbox_head.") or counts_batches(state):
        return 0.0
    kernel = state.get("bbox_head.retina_cls.weight")
    return 0.95 if kernel is not None and kernel.shape[-2:] == (1, 1) else 0.5


def map_name(name: str) -> Mapped:
    """Our spelling of a name, or why it is dropped."""
    return apply_rules(name, DROPS, ())


def embed_pointwise(kernel: np.ndarray) -> np.ndarray:
    """[O, I, 3, 3] the kernel that computes the same as an [O, I, 1, 1] one when the border is padded."""
    wide = np.zeros((*kernel.shape[:2], 3, 3), kernel.dtype)
    wide[:, :, 1, 1] = kernel[:, :, 0, 0]
    return wide
