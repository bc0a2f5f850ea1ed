"""Cross entropy for sigmoid and softmax classifiers, and for centerness."""

from __future__ import annotations

from jld.errors import ConfigError
from jld.losses.reduction import Loss, WeightedLoss
from jld.ops.soft_targets import soft_cross_entropy
from jld.registry import LOSSES
from jld.toolchain import jittor as jt


def binary_cross_entropy_with_logits(logits: jt.Var, targets: jt.Var) -> jt.Var:
    """Cross entropy between sigmoid(logits) and soft targets, finite for every finite logit.

    Args:
        logits: [...] before the sigmoid.
        targets: [...] in [0, 1], of a shape that broadcasts with `logits`.
    Returns:
        [...] in nats; the gradient is sigmoid(logits) - targets.
    """
    # max(z, 0) written through |z|: both parts then agree on the side of the kink, and the slope at 0 is 1/2.
    magnitude = jt.abs(logits)
    return 0.5 * (logits + magnitude) - logits * targets + jt.log(1.0 + jt.exp(-magnitude))


def cross_entropy(logits: jt.Var, labels: jt.Var) -> jt.Var:
    """Softmax cross entropy with hard labels.

    Args:
        logits: [..., C].
        labels: [...] integers in [0, C); a label outside gives 0, which is how ignored rows are written.
    Returns:
        [...] in nats.
    """
    one_hot = labels.unsqueeze(-1) == jt.arange(logits.shape[-1])
    return soft_cross_entropy(logits, one_hot)


@LOSSES.register
class CrossEntropyLoss(WeightedLoss):
    """Cross entropy: binary on soft targets with `use_sigmoid`, else softmax with hard labels."""

    def __init__(self, use_sigmoid: bool = False, loss_weight: float = 1.0, reduction: str = "mean"):
        """Args:
        use_sigmoid: True: [...] logits with [...] targets (centerness); False: [..., C] with labels.
        loss_weight: factor of the reduced loss.
        reduction: see `reduce_loss`.
        """
        super().__init__(loss_weight, reduction)
        self.use_sigmoid = use_sigmoid

    def element_loss(self, pred: jt.Var, target: jt.Var) -> jt.Var:
        """See the two functions above."""
        return (binary_cross_entropy_with_logits if self.use_sigmoid else cross_entropy)(pred, target)


def require_cross_entropy(loss: Loss, key: str, *, use_sigmoid: bool) -> None:
    """Stops a head whose scores are told by another function than the one its loss trains.

    A softmax over the one logit of a sigmoid is 1 whatever it is: such a head would learn nothing.

    Args:
        loss: LOSSES object; one of a project says `use_sigmoid` as `CrossEntropyLoss` does.
        key: its name in the config, such as `RPNHead.loss_cls`.
        use_sigmoid: what the head makes scores with.
    Raises:
        ConfigError: see above.
    """
    if getattr(loss, "use_sigmoid", None) != use_sigmoid:
        raise ConfigError(
            f"{key} is a {type(loss).__name__} that does not suit scores made by "
            f"{'sigmoids' if use_sigmoid else 'a softmax'}: use CrossEntropyLoss(use_sigmoid={use_sigmoid})."
        )
