"""Rank mimicking: the student orders an object's priors as the teacher does."""

from __future__ import annotations

from jld.distill.context import StepContext
from jld.distill.terms.base import RegionName, Term
from jld.registry import TERMS
from jld.toolchain import jittor as jt


def rank_divergence(
    student_scores: jt.Var, teacher_scores: jt.Var, owners: jt.Var, num_objects: int
) -> jt.Var:
    """KL divergence between two softmaxes over the candidates of each object.

    Args:
        student_scores: [N, P] score of every candidate for its own object, before the softmax.
        teacher_scores: [N, P]; no gradient flows into it.
        owners: [N, P] int32 object of the candidate, negative for none.
        num_objects: G.
    Returns:
        [N, G] sum over candidates of p (log p - log q), p the teacher's; 0 for an object without any.
    Source: arXiv:2112.04840, rank mimicking.
    """
    log_student = _log_softmax_of_groups(student_scores, owners, num_objects)
    log_teacher = _log_softmax_of_groups(teacher_scores.detach(), owners, num_objects)
    candidate = (owners >= 0).float32()
    terms = jt.exp(log_teacher) * (log_teacher - log_student) * candidate
    return _sum_of_groups(terms, owners, num_objects)


def _log_softmax_of_groups(scores: jt.Var, owners: jt.Var, num_objects: int) -> jt.Var:
    """[N, P] logarithm of each candidate's share among those of its object; 0 for no candidate."""
    n, p = scores.shape
    shape, place = [n, num_objects], ["i0", "@e0(i0,i1)"]
    candidate = (owners >= 0).float32()
    safe = jt.maximum(owners, 0)
    highest = jt.ternary(owners >= 0, scores, -1e30).detach()
    highest = highest.reindex_reduce("maximum", shape, place, extras=[safe])  # [N, G]
    shifted = (scores - highest.reindex([n, p], place, extras=[safe])) * candidate
    totals = _sum_of_groups(jt.exp(shifted) * candidate, owners, num_objects)
    totals = totals.reindex([n, p], place, extras=[safe])
    return (shifted - jt.log(jt.maximum(totals, 1e-12))) * candidate


def _sum_of_groups(values: jt.Var, owners: jt.Var, num_objects: int) -> jt.Var:
    """[N, G] sum of values [N, P], which are 0 where there is no owner."""
    place = ["i0", "@e0(i0,i1)"]
    return values.reindex_reduce("add", [values.shape[0], num_objects], place, extras=[jt.maximum(owners, 0)])


@TERMS.register
class RankMimicking(Term):
    """The order in which an object's positives score for its class, as the teacher ranks them.

    For every object a softmax runs over the class logits of its positives; L = mean over images of the mean
    over the image's objects of KL(teacher, student). Reads `cls_logits`.

    Args:
        weight: 4 in the implementation named below.
        region: positives outside of it do not take part.
        name: key in the loss dict.
    Source: arXiv:2112.04840, rank mimicking; open-mmlab/mmrazor, development file rank_mimic.py.
    Differs: an image without objects gives 0 (there: a division by zero).
    """

    requires = ("cls_logits",)

    def __init__(self, weight: float = 4.0, region: RegionName = "main", *, name: str = "loss_rm"):
        super().__init__(weight, name)
        self.region, self.regions = region, (region,)

    def __call__(self, context: StepContext) -> jt.Var:
        """Scalar Var, `weight` not yet applied."""
        inside = context.region(self.region) > 0
        assignment, objects = context.assignment, context.targets.mask
        owners = jt.ternary(inside, assignment.gt_index, -1)
        student, teacher = (
            _scores_of_labels(trace.predictions["cls_logits"], assignment.labels)
            for trace in (context.student, context.teacher)
        )
        values = rank_divergence(student, teacher, owners, objects.shape[1]) * objects  # [N, G]
        return (values.sum(1) / objects.sum(1).maximum(1.0)).mean()


def _scores_of_labels(cls_logits: jt.Var, labels: jt.Var) -> jt.Var:
    """[N, P] the logit of each prior's own class; 0 for background."""
    n, p = labels.shape
    return cls_logits.reindex([n, p], ["i0", "i1", "@e0(i0,i1)"], extras=[labels])
