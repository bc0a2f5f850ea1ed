"""The distillation loss of LGD: adapted student maps follow the teacher's, both normalised per channel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jld.distill.context import StepContext
from jld.distill.terms.base import Term
from jld.losses.reduction import total
from jld.losses.regression import squared_error
from jld.models.interface import Interface
from jld.ops.conv2d import Conv2d
from jld.ops.group_norm import group_norm
from jld.registry import TERMS
from jld.toolchain import jittor as jt

nn = jt.nn


def instance_normalised(x: jt.Var) -> jt.Var:
    """[N, D, H, W] with mean 0 and deviation 1 in each channel of each image; 0 on a map of a single cell."""
    channels = x.shape[1]
    return group_norm(x, jt.ones((channels,)), jt.zeros((channels,)), channels)


@TERMS.register
class InstructiveMSE(Term):
    """Mean squared difference of instance-normalised maps, one mean over all levels. Reads `features`.

    With A three convolutions with ReLUs between them, one set for all levels:
    L = sum_l |IN(A(S_l)) - IN(T_l)|^2 / sum_l N D H_l W_l. A level counts by its cells. While the schedule
    leaves the term out, A learns on and the student gets no signal.

    Args:
        weight: factor of the term.
        name: key in the loss dict.
    Source: arXiv:2109.11496; megvii-research/LGD, base_distillator.py.
    Differs: a map of one cell stops the released code; here it is 0 on both sides.
    """

    reads_features = True
    off = "detach_student"

    def __init__(self, weight: float = 1.0, *, name: str = "loss_distill"):
        super().__init__(weight, name)
        self._modules: dict[str, jt.Module] = {}

    def bind(self, student: Interface, teacher: Interface) -> None:
        """See `Term`; makes the adapter."""
        given = teacher.channels
        convs = [Conv2d(width, given, 3, padding=1) for width in (student.channels, given, given)]
        self._modules["adapter"] = nn.Sequential(convs[0], nn.ReLU(), convs[1], nn.ReLU(), convs[2])

    def modules(self) -> Mapping[str, jt.Module]:
        """See `Term`."""
        return self._modules

    def __call__(self, context: StepContext) -> jt.Var:
        """Scalar Var, `weight` not yet applied."""
        errors, count = [], 0
        _, students, teachers = zip(*context.feature_levels(), strict=True)
        for student, teacher in zip(self._adapted(students), teachers, strict=True):
            error = squared_error(instance_normalised(student), instance_normalised(teacher))
            errors.append(total(error))
            count += error.numel()
        return sum(errors[1:], errors[0]) / count

    def _adapted(self, maps: Sequence[jt.Var]) -> list[jt.Var]:
        first, relu, second, _, third = self._modules["adapter"]
        between = [relu(x) for x in first.levels(maps)]
        return third.levels([relu(x) for x in second.levels(between)])
