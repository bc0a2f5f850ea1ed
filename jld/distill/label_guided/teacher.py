"""The teacher of LGD: painted maps, read by the student's own head."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from jld.checkpoint import read_checkpoint
from jld.checkpoint.names.lgd import painter_part
from jld.distill.label_guided.instances import descriptor_size, instances_of
from jld.distill.label_guided.painter import INTERACTIONS, LabelPainter
from jld.distill.step import Step
from jld.errors import CheckpointError, ConfigError, suggestion
from jld.models import Detector
from jld.models.interface import Interface
from jld.models.targets import Targets
from jld.models.trace import Trace
from jld.registry import TEACHERS
from jld.toolchain import jittor as jt


@TEACHERS.register
class LabelGuidedTeacher:
    """A teacher that has seen the labels: it paints maps of them, and the student's own head reads these.

    Nothing is trained beforehand. In every step the objects' labels are encoded, look at each other under the
    guidance of what the student sees of them, and are painted into maps of the student's shapes. The painted
    maps train the painter and the student's head by the detector's own losses (`<name>.tea`), and a term
    (`InstructiveMSE`) pulls the student's maps towards them. Serves every detector, of upright and of rotated
    boxes; nothing of it is exported.

    Args:
        context_box: the whole image is an object too, which is added to every cell. Without it an image with
            a single object paints maps that do not depend on the student's.
        interaction: who asks and who answers between objects: `student_guided` (what the student sees asks,
            labels answer), `label_guided`, or only one of them without any attention: `student_fill`,
            `label_fill`.
        detach_appearance: the losses of the painted maps reach the painter and the head, not the student's
            backbone and neck.
        masks: objects are also described by their masks on 7 x 7 cells, and painted inside them instead of
            inside their boxes; needs a dataset with masks. Polygons are filled for the 7 x 7 cells, as
            released; with_masks="bitmaps" resamples them (`mask_targets`).
        num_heads: of the attention; a divisor of the maps' channels.
        checkpoint: a file of the released code whose teacher is the start; None draws initial weights.
    Raises:
        ConfigError: unknown interaction; on binding: `num_heads` does not divide the channels.
        CheckpointError: on binding: the file's teacher does not fit the student's classes and channels.
    Source: arXiv:2109.11496 (AAAI 2022); megvii-research/LGD, dynamic_teacher.py, with `stuGuided`,
        `labelGuided` and `teacher_fill` for student_guided, label_guided and label_fill. As there the painted
        maps have mean 0 and deviation 1, whatever the student's have.
    """

    def __init__(
        self,
        *,
        context_box: bool = True,
        interaction: str = "student_guided",
        detach_appearance: bool = False,
        masks: bool = False,
        num_heads: int = 8,
        checkpoint: str | None = None,
    ):
        if interaction not in INTERACTIONS:
            raise ConfigError(
                f"LabelGuidedTeacher: unknown interaction {interaction!r}: "
                f"{suggestion(interaction, INTERACTIONS)}"
            )
        self.context_box, self.masks, self.num_heads = context_box, masks, num_heads
        self.interaction, self.detach_appearance = interaction, detach_appearance
        self.checkpoint = checkpoint
        # Inside a tuple Jittor's module traversal does not find the student, whoever holds the teacher.
        self._bound: tuple[Detector, ...] = ()
        self._modules: dict[str, LabelPainter] = {}

    @property
    def needs_masks(self) -> bool:
        """See `Teacher`."""
        return self.masks

    @property
    def student(self) -> Detector:
        """The detector that the teacher was bound to.

        Raises:
            ValueError: it was bound to none.
        """
        if not self._bound:
            raise ValueError("LabelGuidedTeacher works with a student's head: call bind(student) first.")
        return self._bound[0]

    @property
    def interface(self) -> Interface:
        """See `Teacher`: the student's own."""
        return self.student.interface

    def bind(self, student: Detector) -> None:
        """See `Teacher`; makes the painter for the student's classes, boxes and channels."""
        interface = student.interface
        if interface.channels % self.num_heads:
            raise ConfigError(
                f"LabelGuidedTeacher: num_heads={self.num_heads} does not divide the {interface.channels} "
                "channels of the student's maps: choose a divisor."
            )
        num_sides = interface.stage().boxes.num_sides
        size = descriptor_size(interface.num_classes, num_sides, with_masks=self.masks)
        self._bound = (student,)
        painter = LabelPainter(
            size,
            interface.channels,
            context_box=self.context_box,
            interaction=self.interaction,
            detach_appearance=self.detach_appearance,
            num_heads=self.num_heads,
        )
        if self.checkpoint is not None:
            load_painter(painter, self.checkpoint)
        self._modules["painter"] = painter

    def paint(
        self, features: Sequence[jt.Var], targets: Targets, image_size: tuple[int, int]
    ) -> list[jt.Var]:
        """The maps [N, D, H_l, W_l] painted for a batch.

        Args:
            features: the student's maps of these shapes.
            targets: ground truth of the batch.
            image_size: (H, W) of the padded batch in px.
        Raises:
            ValueError: masks are asked for, and the targets hold none.
        """
        instances = instances_of(
            targets,
            self.interface.num_classes,
            image_size,
            context_box=self.context_box,
            with_masks=self.masks,
        )
        return self._modules["painter"](features, instances)

    def __call__(self, step: Step) -> Trace:
        """See `Teacher`; the student's own detector reads the painted maps, with the same targets.

        A two-stage detector draws anchors and RoIs of its own for them.
        """
        height, width = step.images.shape[2:]
        painted, targets = self.paint(step.features, step.targets, (height, width)), step.targets
        if targets.seeds is not None:
            targets = dataclasses.replace(targets, seeds=targets.seeds + 1)
        return step.student.predict(painted, targets)

    def keep_hidden(self, stage: str | None, depth: int) -> None:
        """See `Teacher`; the student's head is asked itself."""

    def losses(self, trace: Trace, targets: Targets) -> dict[str, jt.Var]:
        """See `Teacher`: the student's own losses of the painted maps."""
        return self.student.losses(trace, targets)

    def modules(self) -> Mapping[str, jt.Module]:
        """See `Teacher`: the painter."""
        return self._modules


def load_painter(painter: LabelPainter, path: str) -> None:
    """Gives a painter the weights of the teacher in a file of the released code.

    What the painter does not have, such as the layer of a context that it does not paint, is left out.

    Raises:
        CheckpointError: the file has no such teacher, or it is of other classes, channels or options.
    """
    given = painter_part(read_checkpoint(path).state)
    own = painter.state_dict()
    for name, shape in ((name, tuple(var.shape)) for name, var in own.items()):
        if name not in given:
            raise CheckpointError(f"distill.teacher.checkpoint {path} has no label-guided teacher's {name}.")
        if given[name].shape != shape:
            raise CheckpointError(
                f"distill.teacher.checkpoint {path}: {name} has the shape {given[name].shape}, this teacher "
                f"needs {shape}: classes, masks or channels are others."
            )
    for name, var in own.items():
        var.assign(jt.array(given[name].astype(np.float32)))
