"""The soft-target loss of knowledge distillation, shared by classification and localization distillation."""

from __future__ import annotations

from jld.errors import ConfigError
from jld.losses.reduction import WeightedLoss
from jld.ops.soft_targets import soft_cross_entropy, soft_kl_divergence
from jld.registry import LOSSES
from jld.toolchain import jittor as jt

# Probabilities below count as this one in a logarithm; entries no teacher bin falls into have none at all.
SMALLEST = 1e-30


def kl_divergence(student_logits, teacher_logits, temperature: float, projection=None):
    """KL divergence from the teacher's to the student's distribution, both softened by a temperature.

    Args:
        student_logits: [..., B] before the softmax.
        teacher_logits: [..., B]; no gradient flows into it. With a projection [..., S, B_teacher].
        temperature: both sides are divided by it and the result is multiplied by its square, so that the
            gradient keeps its size.
        projection: [S, B_teacher, B], rows adding up to 1, or None: takes the teacher's softened
            probabilities to the student's entries first.
    Returns:
        [...] mean over the B entries (not the sum), in nats; zero where both rows agree.
    Raises:
        ConfigError: temperature below 1.
        ValueError: the two last axes differ in length.
    Source: arXiv:2102.12252, localization distillation loss; the mean over bins is the released code's.
    """
    check_temperature(temperature)
    if projection is None and student_logits.shape[-1] != teacher_logits.shape[-1]:
        raise ValueError(
            f"student rows have {student_logits.shape[-1]} entries and teacher rows "
            f"{teacher_logits.shape[-1]}: both need the same number of bins or classes."
        )
    if projection is None:
        divergence = soft_kl_divergence(student_logits, teacher_logits, temperature)
    else:
        teacher = jt.nn.softmax(teacher_logits.detach() / temperature, dim=-1)
        teacher = (teacher.unsqueeze(-1) * projection).sum(-2)  # [..., S, B]
        entropy = -(teacher * jt.log(jt.maximum(teacher, SMALLEST))).sum(-1)
        divergence = soft_cross_entropy(student_logits / temperature, teacher) - entropy
    return divergence * (temperature * temperature / student_logits.shape[-1])


def check_temperature(temperature: float) -> float:
    """`temperature` itself.

    Raises:
        ConfigError: below 1.
    """
    if temperature < 1:
        raise ConfigError(
            f"temperature {temperature} is below 1: distillation softens distributions, use 1 or more."
        )
    return temperature


@LOSSES.register
class KnowledgeDistillationKLDivLoss(WeightedLoss):
    """KL divergence between softened distributions, averaged over their entries.

    Source: arXiv:2102.12252.
    """

    def __init__(self, T: float = 10, loss_weight: float = 1.0, reduction: str = "mean"):
        """Args:
        T: temperature (the name that published configs use).
        loss_weight: factor of the reduced loss.
        reduction: see `reduce_loss`.
        """
        super().__init__(loss_weight, reduction)
        self.temperature = check_temperature(T)

    def element_loss(self, pred, target):
        """[...] from student logits [..., B] and teacher logits [..., B]."""
        return kl_divergence(pred, target, self.temperature)
