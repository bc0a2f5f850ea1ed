"""The soft-target loss of knowledge distillation, shared by classification and localization distillation."""

from __future__ import annotations

from jld.errors import ConfigError
from jld.losses.cross_entropy import binary_cross_entropy_with_logits
from jld.ops.soft_targets import soft_cross_entropy, soft_kl_divergence
from jld.toolchain import jittor as jt

# Probabilities below count as this one in a logarithm; entries no teacher bin falls into have none at all.
SMALLEST = 1e-30


def kl_divergence(
    student_logits: jt.Var, teacher_logits: jt.Var, temperature: float, projection: jt.Var | None = None
) -> jt.Var:
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


def binary_kl_divergence(student_logits: jt.Var, teacher_logits: jt.Var, temperature: float) -> jt.Var:
    """KL divergence between the two-way distributions of every class of a sigmoid classifier.

    Args:
        student_logits: [..., C] before the sigmoid.
        teacher_logits: [..., C]; no gradient flows into it.
        temperature: see `kl_divergence`.
    Returns:
        [...] mean over the C classes, in nats; zero where both rows agree.
    Raises:
        ConfigError: temperature below 1.
    """
    check_temperature(temperature)
    student, teacher = student_logits / temperature, teacher_logits.detach() / temperature
    wanted = jt.sigmoid(teacher)
    divergence = binary_cross_entropy_with_logits(student, wanted) - binary_cross_entropy_with_logits(
        teacher, wanted
    )
    return divergence.mean(-1) * (temperature * temperature)


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
