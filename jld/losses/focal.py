"""Classification losses of dense detectors: focal loss and quality focal loss, over all priors and classes.

A label equal to the number of classes means background. Positives are not gathered: the one-hot comparison
fuses into the loss kernel, and shapes stay the same from step to step.
"""

from __future__ import annotations

from jld.errors import ConfigError
from jld.losses.cross_entropy import binary_cross_entropy_with_logits
from jld.losses.reduction import WeightedLoss
from jld.registry import LOSSES
from jld.toolchain import jittor as jt

# Smallest probability whose logarithm is taken; keeps loss and gradient finite where a sigmoid has saturated.
MIN_PROBABILITY = 1e-12


def sigmoid_focal(cls_logits: jt.Var, labels: jt.Var, gamma: float = 2.0, alpha: float = 0.25) -> jt.Var:
    """Focal loss with one sigmoid per class.

    Args:
        cls_logits: [..., C].
        labels: [...] integers in [0, C]; C is background.
        gamma: exponent of the modulating factor.
        alpha: weight of the positive class, 1 - alpha of the others.
    Returns:
        [..., C]
    Source: arXiv:1708.02002, equation 5.
    """
    targets = _one_hot(labels, cls_logits)
    probs = jt.sigmoid(cls_logits)
    miss = (1.0 - probs) * targets + probs * (1.0 - targets)  # 1 - p_t
    class_weight = alpha * targets + (1.0 - alpha) * (1.0 - targets)
    return binary_cross_entropy_with_logits(cls_logits, targets) * class_weight * _power(miss, gamma)


def quality_focal(cls_logits: jt.Var, labels: jt.Var, scores: jt.Var, beta: float = 2.0) -> jt.Var:
    """Focal loss with a soft target: the quality of the predicted box at the object's class.

    Args:
        cls_logits: [..., C].
        labels: [...] integers in [0, C]; C is background.
        scores: [...] target quality in [0, 1], read where `labels` is an object class.
        beta: exponent of the modulating factor |target - probability|; the gradient flows through it as well.
    Returns:
        [...] summed over the classes.
    Source: arXiv:2006.04388, equation 5.
    """
    targets = _one_hot(labels, cls_logits) * scores.unsqueeze(-1)
    loss = binary_cross_entropy_with_logits(cls_logits, targets)
    return (loss * _power(jt.abs(targets - jt.sigmoid(cls_logits)), beta)).sum(-1)


def quality_focal_probs(cls_probs: jt.Var, labels: jt.Var, scores: jt.Var, beta: float = 2.0) -> jt.Var:
    """`quality_focal` for heads that predict probabilities, as GFLv2 does.

    Args:
        cls_probs: [..., C] in [0, 1].
        labels: [...] integers in [0, C]; C is background.
        scores: [...] target quality in [0, 1].
        beta: exponent of the modulating factor.
    Returns:
        [...] summed over the classes.
    Source: arXiv:2011.12885 with equation 5 of arXiv:2006.04388.
    Differs: logarithms are floored at the one of 1e-12 (PyTorch: at -100), which bounds the gradient as well.
    """
    targets = _one_hot(labels, cls_probs) * scores.unsqueeze(-1)
    hit = jt.log(jt.maximum(cls_probs, MIN_PROBABILITY))
    miss = jt.log(jt.maximum(1.0 - cls_probs, MIN_PROBABILITY))
    loss = -(targets * hit + (1.0 - targets) * miss)
    return (loss * _power(jt.abs(targets - cls_probs), beta)).sum(-1)


def distillation_focal(student_logits: jt.Var, teacher_logits: jt.Var, beta: float = 1.0) -> jt.Var:
    """Quality focal loss towards a teacher's scores, one sigmoid per class.

    |sigmoid(z) - sigmoid(z_t)|^beta BCE(z, sigmoid(z_t)); the gradient flows through both factors.

    Args:
        student_logits: [..., C].
        teacher_logits: [..., C]; no gradient flows into them.
        beta: exponent of the first factor.
    Returns:
        [...] summed over the classes.
    Source: arXiv:2306.11369 and arXiv:2308.14286, whose class losses are the same function.
    """
    wanted = jt.sigmoid(teacher_logits.detach())
    gap = jt.abs(jt.sigmoid(student_logits) - wanted)
    weight = gap if beta == 1 else _power(gap, beta)
    return (weight * binary_cross_entropy_with_logits(student_logits, wanted)).sum(-1)


def _one_hot(labels: jt.Var, cls_logits: jt.Var) -> jt.Var:
    return (labels.unsqueeze(-1) == jt.arange(cls_logits.shape[-1])).float32()  # [..., C]


def _power(base: jt.Var, exponent: float) -> jt.Var:
    # The usual exponent 2 as a product: cheaper than pow, and its gradient at 0 needs no special case.
    return base * base if exponent == 2 else jt.pow(base, exponent)


@LOSSES.register
class FocalLoss(WeightedLoss):
    """Sigmoid focal loss.

    Source: arXiv:1708.02002.
    """

    def __init__(
        self,
        use_sigmoid: bool = True,
        gamma: float = 2.0,
        alpha: float = 0.25,
        loss_weight: float = 1.0,
        reduction: str = "mean",
    ):
        """Args:
            use_sigmoid: must be True, kept because configs of other frameworks state it.
            gamma: exponent of the modulating factor.
            alpha: weight of the positive class.
            loss_weight: factor of the reduced loss.
            reduction: see `reduce_loss`.
        Raises:
            ConfigError: `use_sigmoid` is False.
        """
        super().__init__(loss_weight, reduction)
        if not use_sigmoid:
            raise ConfigError(
                "FocalLoss has one sigmoid per class: set use_sigmoid=True or use CrossEntropyLoss."
            )
        self.gamma, self.alpha = gamma, alpha

    def element_loss(self, pred: jt.Var, target: jt.Var) -> jt.Var:
        """[..., C] from class logits [..., C] and labels [...]."""
        return sigmoid_focal(pred, target, self.gamma, self.alpha)


@LOSSES.register
class QualityFocalLoss(WeightedLoss):
    """Quality focal loss: classification against the IoU of the predicted box.

    Source: arXiv:2006.04388.
    """

    def __init__(
        self, use_sigmoid: bool = True, beta: float = 2.0, loss_weight: float = 1.0, reduction: str = "mean"
    ):
        """Args:
        use_sigmoid: True when the head predicts logits, False when it predicts probabilities (GFLv2).
        beta: exponent of the modulating factor.
        loss_weight: factor of the reduced loss.
        reduction: see `reduce_loss`.
        """
        super().__init__(loss_weight, reduction)
        self.beta, self.use_sigmoid = beta, use_sigmoid
        self._function = quality_focal if use_sigmoid else quality_focal_probs

    def element_loss(self, pred: jt.Var, target: tuple[jt.Var, jt.Var]) -> jt.Var:
        """[...] from predictions [..., C] and a pair of labels [...] and scores [...]."""
        labels, scores = target
        return self._function(pred, labels, scores, self.beta)
