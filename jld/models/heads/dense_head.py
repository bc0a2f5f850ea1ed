"""What all heads with one row of predictions per prior have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jld.models.targets import Targets
from jld.models.trace import Trace
from jld.toolchain import jittor as jt


class DenseHead(jt.Module):
    """Base of the dense heads: assignment, and the way from predictions to detections.

    Subclasses set `num_classes`, `priors`, `assigner` and `postprocess`, and give `execute`,
    `prediction_shapes`, `losses` and `dense_detections`.
    """

    def assign(self, trace: Trace, targets: Targets) -> Any:
        """The Assignment of the trace's priors to the targets."""
        valid_mask = trace.priors.valid_mask(targets.pad_shapes)
        return self.assigner(trace.priors, targets, valid_mask, self.num_classes)

    def detect(self, trace: Trace, batch: Mapping[str, Any]) -> list[dict]:
        """Detections of every image in px of the original images, see `Postprocess`.

        A head that predicts `centerness_logits` has its boxes ranked by score times centerness.
        """
        scores, boxes = self.dense_detections(trace)
        quality = {}
        if "centerness_logits" in trace.predictions:
            quality["quality"] = jt.sigmoid(trace.predictions["centerness_logits"]).numpy()
        return self.postprocess(scores.numpy(), boxes.numpy(), trace.priors, batch, **quality)

    def dense_detections(self, trace: Trace) -> tuple[jt.Var, jt.Var]:
        """Scores [N, P, C] and boxes [N, P, 4 or 5] in px of the network input, before any selection."""
        raise NotImplementedError


def sides_shape(num_sides: int, reg_max: int | None, plain: str) -> dict[str, tuple[int, ...]]:
    """The box entry of `prediction_shapes`: distributions with `reg_max`, else plain values.

    Args:
        num_sides: numbers that describe a box.
        reg_max: bins - 1, or None.
        plain: key of the plain values.
    """
    return {plain: (num_sides,)} if reg_max is None else {"box_logits": (num_sides, reg_max + 1)}
