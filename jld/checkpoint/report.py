"""What fitted when a file was laid over a model, as a table, and the likeliest reason when it did not."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from jld.checkpoint import class_layer
from jld.checkpoint.names.jdet import POINTWISE_KERNELS
from jld.errors import CheckpointError

Shape = tuple[int, ...]
_SHOWN = 5
_ANCHORS_PER_RETINA_CELL = 9
_BOX_LAYERS = ("gfl_reg", "atss_reg", "retina_reg", "conv_reg", "fcos_reg")
# (has a third convolution, blocks in stage 3) -> depth of a ResNet or ResNeXt.
_DEPTHS = {(False, 2): 18, (False, 6): 34, (True, 6): 50, (True, 23): 101, (True, 36): 152}


@dataclass
class Report:
    """How the names and shapes of a file meet those of a model.

    Attributes:
        origin: family of the file's names.
        loaded: our names that were found and fit.
        missing: our names the file lacks.
        unexpected: the file's names (in our spelling) the model lacks.
        dropped: the file's names left out on purpose -> reason.
        shape_mismatch: our name -> (shape in the file, shape in the model).
        support_mismatch: name of a distribution's support -> what differs.
        adapted: our name -> what was done to the values.
        not_finite: our names whose values are not all numbers: the training that wrote them had failed.
        file_shapes, model_shapes: everything seen, in our spelling, for explanations.
    """

    origin: str
    loaded: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    dropped: dict[str, str] = field(default_factory=dict)
    shape_mismatch: dict[str, tuple[Shape, Shape]] = field(default_factory=dict)
    support_mismatch: dict[str, str] = field(default_factory=dict)
    adapted: dict[str, str] = field(default_factory=dict)
    not_finite: list[str] = field(default_factory=list)
    file_shapes: dict[str, Shape] = field(default_factory=dict)
    model_shapes: dict[str, Shape] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Whether every parameter of the model came from the file and nothing was left over."""
        others = self.support_mismatch or self.not_finite
        return not (self.missing or self.unexpected or self.shape_mismatch or others)

    def text(self) -> str:
        """A table for people: one line per outcome, the first few names of each below it."""
        shapes = [
            f"{name}: file {list(there)}, model {list(here)}"
            for name, (there, here) in self.shape_mismatch.items()
        ]
        reasons = [f"{count} x {reason}" for reason, count in Counter(self.dropped.values()).most_common()]
        notes = [f"{count} x {note}" for note, count in Counter(self.adapted.values()).most_common()]
        rows = (
            ("loaded", len(self.loaded), []),
            ("adapted", len(self.adapted), notes),
            ("dropped", len(self.dropped), reasons),
            ("missing", len(self.missing), self.missing),
            ("unexpected", len(self.unexpected), self.unexpected),
            ("wrong shape", len(shapes), shapes),
            ("wrong support", len(self.support_mismatch), list(self.support_mismatch.values())),
            *([("not finite", len(self.not_finite), self.not_finite)] if self.not_finite else []),
        )
        lines = [f"names as in {self.origin}"]
        for title, count, details in rows:
            lines.append(f"  {title:<14}{count:>6}")
            lines += [f"      {detail}" for detail in details[:_SHOWN]]
            if len(details) > _SHOWN:
                lines.append(f"      ... and {len(details) - _SHOWN} more")
        return "\n".join(lines)


def require_complete(report: Report, what: str, path: str | Path, strict: bool = True) -> None:
    """Stop when a file does not fit.

    Args:
        report: what `convert_state` found.
        what: the model in the user's words, such as "the teacher".
        path: the file, for the message.
        strict: False accepts a partial fit, but never an empty one or values that are no numbers.
    Raises:
        CheckpointError: one sentence with the likeliest reason.
    """
    if report.is_complete or (not strict and report.loaded and not report.not_finite):
        return
    raise CheckpointError(f"{path} does not fit {what}: {explain(report)}.")


def explain(report: Report) -> str:
    """The likeliest reason why a file does not fit, as a phrase."""
    reasons = (
        _not_finite,
        _nothing_in_common,
        _other_depth,
        _other_stem,
        _only_a_backbone,
        _other_support,
        _other_classes,
        _other_bins,
        _other_shapes,
        _other_names,
    )
    return next(filter(None, (reason(report) for reason in reasons)), "everything fits")


def _not_finite(report: Report) -> str:
    if not report.not_finite:
        return ""
    more = f" and {len(report.not_finite) - 1} more" if len(report.not_finite) > 1 else ""
    return (
        f"{report.not_finite[0]}{more} holds values that are not finite: the training that wrote it had "
        "diverged; take an earlier file"
    )


def _nothing_in_common(report: Report) -> str:
    if report.loaded or report.shape_mismatch:
        return ""
    there = ", ".join(sorted(report.file_shapes)[:3]) or "nothing"
    here = ", ".join(sorted(report.model_shapes)[:3])
    return f"no name is shared (the file has {there}; the model expects {here})"


def _depth(shapes: dict[str, Shape]) -> int | None:
    blocks = {int(found[1]) for name in shapes if (found := re.match(r"backbone\.layer3\.(\d+)\.", name))}
    has_third = "backbone.layer3.0.conv3.weight" in shapes
    return _DEPTHS.get((has_third, len(blocks)))


def _other_depth(report: Report) -> str:
    there, here = _depth(report.file_shapes), _depth(report.model_shapes)
    if there is None or here is None or there == here:
        return ""
    return f"its backbone has {there} layers and the model's {here}; choose the file or the depth to match"


def _other_stem(report: Report) -> str:
    there, here = (
        any(name.startswith("backbone.stem.") for name in shapes)
        for shapes in (report.file_shapes, report.model_shapes)
    )
    if there == here:
        return ""
    deep, plain = ("its backbone", "the model's") if there else ("the model's backbone", "the file's")
    return f"{deep} is a ResNet-C or D with a stem of three convolutions and {plain} is a plain ResNet"


def _only_a_backbone(report: Report) -> str:
    is_backbone = all(name.startswith("backbone.") for name in report.file_shapes)
    if not is_backbone or all(name.startswith("backbone.") for name in report.model_shapes):
        return ""
    return "it holds a backbone only, not a detector; name it as the backbone's pretrained weights"


def _other_support(report: Report) -> str:
    return "; ".join(report.support_mismatch.values())


def _mismatch_of(report: Report, layers: tuple[str, ...]) -> tuple[str, Shape, Shape] | None:
    for name, (there, here) in report.shape_mismatch.items():
        parts = name.split(".")
        if len(parts) > 1 and parts[-2] in layers and there and here and there[1:] == here[1:]:
            return parts[-2], there, here
    return None


def _other_classes(report: Report) -> str:
    found = _mismatch_of(report, class_layer.LAYERS)
    if found is None:
        return ""
    layer, there, here = found
    anchors = _ANCHORS_PER_RETINA_CELL if layer.startswith("retina") or _has_nine_anchors(report) else 1
    if there[0] % anchors or here[0] % anchors:
        anchors = 1
    count_there, count_here = there[0] // anchors, here[0] // anchors
    return (
        f"this file has {count_there} classes, the model {count_here}; set num_classes={count_there} to "
        "use it as it is; to start training from it, pretrained_classes='leave_out' loads all but the class "
        "layer and 'by_name' the classes of the same names (tools/convert_checkpoint.py: --class-layer)"
    )


def _has_nine_anchors(report: Report) -> bool:
    """Whether the box layer of an anchor-based ATSS-named head says nine anchors: 9 x 4 x 17 or 9 x 4."""
    kernel = report.model_shapes.get("bbox_head.atss_reg.weight", (0,))
    return kernel[0] > 0 and kernel[0] % 36 == 0


def _other_bins(report: Report) -> str:
    found = _mismatch_of(report, _BOX_LAYERS)
    if found is None:
        return ""
    layer, there, here = found
    return (
        f"{layer} predicts {there[0]} numbers per cell in the file and {here[0]} in the model; check "
        f"reg_max and whether both predict distributions"
    )


def _other_shapes(report: Report) -> str:
    if not report.shape_mismatch:
        return ""
    name, (there, here) = next(iter(report.shape_mismatch.items()))
    more = f" and {len(report.shape_mismatch) - 1} more" if len(report.shape_mismatch) > 1 else ""
    hint = ""
    if "conv_offset" in name:
        hint = "; 27 offset channels mean modulated deformable convolution (version 2), 18 mean version 1"
    elif re.search(POINTWISE_KERNELS, name):
        hint = "; the kernels differ in size"
    return f"{name} has shape {list(there)} in the file and {list(here)} in the model{more}{hint}"


def _other_names(report: Report) -> str:
    parts = []
    for title, names in (("lacks", report.missing), ("has besides", report.unexpected)):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            parts.append(f"it {title} {names[0]}{more}")
    return " and ".join(parts)
