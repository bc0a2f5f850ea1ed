"""Teachers: what turns a step into the trace the student should copy.

A teacher is never part of the student's module tree, so it is in no parameter list of the student's and in no
exported model. One that learns names its modules; they are trained and saved as `distill.<teacher>.<module>`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from jld.config import load_config, to_plain
from jld.data.classes import class_names_of
from jld.distill.step import Step
from jld.errors import ConfigError
from jld.models import Detector, build_detector, load_weights
from jld.models.interface import Interface
from jld.models.normalisation import InputStatistics, renormalise
from jld.models.targets import Targets
from jld.models.trace import ROI, Trace
from jld.registry import TEACHERS
from jld.toolchain import jittor as jt


class Teacher(Protocol):
    """What the distiller asks of a teacher.

    Attributes:
        interface: what its traces look like; terms are checked against it. A teacher that reads the student's
            own heads may know it only once it is bound.
        needs_masks: whether the targets must hold masks.
    """

    @property
    def needs_masks(self) -> bool: ...

    @property
    def interface(self) -> Interface: ...

    def bind(self, student: Detector) -> None:
        """Prepares the teacher for a student; called before anything is checked."""

    def __call__(self, step: Step) -> Trace:
        """The trace of a step, with classes and places in the student's order."""

    def keep_hidden(self, stage: str | None, depth: int) -> None:
        """Asks for the maps of a stage's towers after `depth` layers in every trace, see `Detector`."""

    def losses(self, trace: Trace, targets: Targets) -> dict[str, jt.Var]:
        """{name: scalar} losses the teacher itself learns by; empty for one that does not learn."""

    def modules(self) -> Mapping[str, jt.Module]:
        """{name: module} whose parameters are trained and whose state is saved; empty likewise."""


@TEACHERS.register
class FrozenTeacher:
    """A trained detector that never changes: evaluation mode, no gradient.

    A second stage looks at the student's RoIs where the student has some, else at its own proposals.

    Args:
        config: path of the teacher's config file, or the config itself; only `model` is built.
        checkpoint: its weights (.pth, .pkl, .safetensors); None keeps the initial ones (for tests).
        input_statistics: `own` re-normalises the student's input where the teacher's config normalises
            differently; `student` feeds the student's tensor as it is, as the released code does.
    Attributes:
        model: the `model` section that the detector was built from, as plain data.
    Raises:
        ConfigError: unknown `input_statistics`; the config has no model.
        CheckpointError: the weights do not fit.
    """

    needs_masks = False

    unbuilt = ("config",)  # full of typed sections that belong to the teacher

    def __init__(
        self,
        config: Any,
        checkpoint: str | None = None,
        *,
        input_statistics: str = "own",
    ):
        if input_statistics not in ("own", "student"):
            raise ConfigError(
                f"FrozenTeacher: input_statistics is {input_statistics!r}; use 'own' or 'student'."
            )
        config = load_config(config) if isinstance(config, str | Path) else config
        # The file's weights replace everything, so an ImageNet file is not asked for.
        detector = build_detector(config, pretrained=checkpoint is None)
        if checkpoint is not None:
            load_weights(detector, checkpoint, what="teacher.checkpoint")
        if not detector.classes:
            names = class_names_of(config)
            detector.classes = names if len(names) == detector.interface.num_classes else ()
        detector.eval()
        for parameter in detector.parameters():
            parameter.stop_grad()
        # Inside a tuple Jittor's module traversal does not find it, whoever holds the teacher.
        self._hidden = (detector,)
        self._renormalises = input_statistics == "own"
        self.model = to_plain(config["model"])
        self._class_order: list[int] | None = None

    @property
    def detector(self) -> Detector:
        """The teacher's detector."""
        return self._hidden[0]

    @property
    def interface(self) -> Interface:
        """See `Teacher`."""
        return self.detector.interface

    def expected_input(self, student: Detector) -> InputStatistics | None:
        """How a student's images are said to be normalised; None: they are taken as they are."""
        return student.normalisation if self._renormalises else None

    def bind(self, student: Detector) -> None:
        """See `Teacher`; finds the order of the student's classes among the teacher's."""
        own, given = student.interface.classes, self.interface.classes
        is_permutation = own != given and sorted(own) == sorted(given) and len(set(own)) == len(own)
        self._class_order = [given.index(name) for name in own] if is_permutation else None

    def __call__(self, step: Step) -> Trace:
        """See `Teacher`."""
        given = self.expected_input(step.student)
        with jt.no_grad():
            images = renormalise(step.images, step.targets.img_shapes, given, self.detector.normalisation)
            features = self.detector.features(images)
            # Rows can only be compared where both have looked at the same RoIs.
            rois = step.rois if ROI in self.interface.stages else None
            trace = self.detector.predict(features, rois=rois, image_shapes=step.targets.img_shapes)
        return trace if self._class_order is None else trace.reordered(self._class_order)

    def keep_hidden(self, stage: str | None, depth: int) -> None:
        """See `Teacher`."""
        self.detector.keep_hidden(stage, depth)

    def losses(self, trace: Trace, targets: Targets) -> dict[str, jt.Var]:
        """None: see `Teacher`."""
        return {}

    def modules(self) -> Mapping[str, jt.Module]:
        """None: see `Teacher`."""
        return {}
