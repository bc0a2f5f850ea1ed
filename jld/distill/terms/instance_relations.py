"""Relations between the instances of a batch: the alternative to global knowledge without prototypes."""

from __future__ import annotations

from jld.distill.context import StepContext
from jld.distill.relations import angles, distinct_pairs, relative_distances
from jld.distill.terms.instances import InstanceTerm
from jld.losses.reduction import total
from jld.losses.regression import smooth_l1
from jld.registry import TERMS
from jld.toolchain import jittor as jt


@TERMS.register
class InstanceRelations(InstanceTerm):
    """Instances of a batch are to have the mutual distances and angles they have in the teacher's space.

    Sum over levels of distance_weight times the mean over pairs of the smooth L1 between distances, each
    divided by its mean, and angle_weight times the mean over triples of that between cosines. Reads
    `features` and the student's assignment.

    Args:
        weight: factor of the whole term.
        distance_weight, angle_weight: released 5 and 10.
        max_instances: as in `RobustFeatures`; the angles grow with its third power.
        outside, stage, name: see `RobustFeatures`.
    Source: arXiv:1904.05068; hikvision-research/DAVAR-Lab-ML (`use_rkd`).
    Differs: a single instance gives 0 (there: NaN).
    """

    def __init__(
        self,
        weight: float = 1.0,
        distance_weight: float = 5.0,
        angle_weight: float = 10.0,
        *,
        max_instances: int = 32,
        outside: str = "clip",
        stage: str | None = None,
        name: str = "loss_instance_relations",
    ):
        super().__init__(
            weight, name, max_instances=max_instances, outside=outside, needs_prototypes=False, stage=stage
        )
        self.distance_weight, self.angle_weight = distance_weight, angle_weight

    def __call__(self, context: StepContext) -> jt.Var:
        """Scalar Var, `weight` not yet applied."""
        mask = self.reader.instances(context).mask.reshape(-1)
        size = mask.shape[0]
        pairs = mask.unsqueeze(0) * mask.unsqueeze(1)  # [M, M]
        others = distinct_pairs(mask)
        triples = pairs.unsqueeze(0) * mask.unsqueeze(1).unsqueeze(2)  # [M, M, M]
        losses = []
        for sides in self.reader.features(context).values():
            rows = [each.reshape(size, -1) for each in sides]
            distance = smooth_l1(*(relative_distances(each, others, coinciding=True) for each in rows))
            angle = smooth_l1(*map(angles, rows))
            losses.append(
                self.distance_weight * (distance * pairs).sum() / pairs.sum().maximum(1.0)
                + self.angle_weight * total(angle * triples) / triples.sum().maximum(1.0)
            )
        return sum(losses)
