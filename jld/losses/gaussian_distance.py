"""Losses that are distances between the Gaussians of rotated boxes.

Wasserstein distance (GWD, arXiv:2101.11952), Kullback-Leibler divergence and its symmetric forms (KLD,
arXiv:2106.01883), Bhattacharyya distance (BCD, arXiv:2205.11796). Two families were released, and configs use
both: `GDLoss` and the older `GDLoss_v1`, which differ in divisor, direction of the divergence and reduction.
"""

from __future__ import annotations

from jld.errors import ConfigError, one_of
from jld.losses.gaussian import (
    GaussianPair,
    drop_unweighted,
    mean_determinant_ratio,
    pair_boxes,
    row_weights,
)
from jld.losses.reduction import WeightedLoss
from jld.registry import LOSSES
from jld.toolchain import jittor as jt

# Below this a radicand counts as 0 where no larger floor is set; the root then has slope 0, not infinity.
NO_DISTANCE = 1e-12
# Floor of the distances of GDLoss_v1.
FIRST_FAMILY_FLOOR = 1e-6


def squared_wasserstein(pair: GaussianPair, alpha: float = 1.0) -> jt.Var:
    """Squared 2-Wasserstein distance of two Gaussians.

    |mu_1 - mu_2|^2 + alpha^2 tr(S_1 + S_2 - 2 (S_1^1/2 S_2 S_1^1/2)^1/2), with the last trace in closed form.

    Args:
        pair: Gaussians [...].
        alpha: weight of the shape against the centre.
    Returns:
        [...] in px^2.
    Source: arXiv:2101.11952, equation 3.
    """
    (p1, p2), (t1, t2) = pair.first_std, pair.second_std
    parallel = p1 * t1 + p2 * t2  # half the trace of the coupling term if the axes were parallel
    turned = pair.sin2 * ((p1 - p2) * (p1 + p2) * ((t1 - t2) * (t1 + t2)))
    coupling = jt.sqrt(parallel * parallel - turned)
    shape = (p1 - t1) * (p1 - t1) + (p2 - t2) * (p2 - t2) + 2.0 * turned / (parallel + coupling)
    return pair.squared_shift + (alpha * alpha) * shape


def kl_second_to_first(pair: GaussianPair, alpha: float = 1.0) -> jt.Var:
    """Kullback-Leibler divergence KL(second || first) of two Gaussians.

    Args:
        pair: Gaussians [...]; `pair.swapped()` gives the other direction.
        alpha: the part of the centres is divided by its square.
    Returns:
        [...] in nats; can be negative by rounding, about -1e-7.
    Source: arXiv:2106.01883, equation 5.
    """
    (p1, p2), (t1, t2) = pair.first_std, pair.second_std
    along, across = pair.first_offset
    shift = (along / p1) * (along / p1) + (across / p2) * (across / p2)
    growth1, growth2 = (t1 - p1) / p1, (t2 - p2) / p2
    # x^2 - 1 - ln x^2 with x = 1 + growth: the linear terms stay apart from the squares.
    size = growth1 * growth1 + growth2 * growth2 + 2.0 * (growth1 + growth2 - jt.log(t1 / p1 * (t2 / p2)))
    turn = pair.sin2 * ((t1 - t2) / p1 * ((t1 + t2) / p2)) * (p1 / p2 - p2 / p1)
    return 0.5 * (shift / (alpha * alpha) + size + turn)


def bhattacharyya(pair: GaussianPair) -> jt.Var:
    """Bhattacharyya distance of two Gaussians: [...] >= 0.

    Source: arXiv:2205.11796, section 3.3.
    """
    (p1, p2), (t1, t2) = pair.first_std, pair.second_std
    (along1, across1), (along2, across2) = pair.first_offset, pair.second_offset
    ratio = mean_determinant_ratio(pair)
    # Offset^T adj(S_1 + S_2) offset; lengths relative to the larger sides keep the products in range.
    unit = jt.maximum(jt.maximum(p1, p2), jt.maximum(t1, t2)).detach()
    p1, p2, t1, t2 = p1 / unit, p2 / unit, t1 / unit, t2 / unit
    moment = _square(p2 * along1) + _square(p1 * across1) + _square(t2 * along2) + _square(t1 * across2)
    root_of_product = jt.sqrt(p1 * t1) * jt.sqrt(p2 * t2) * unit
    shift = moment / root_of_product / root_of_product / (2.0 * ratio)
    return 0.5 * jt.log(ratio) + 0.125 * shift


def _square(x: jt.Var) -> jt.Var:
    return x * x


def _floored_root(x: jt.Var, floor: float) -> jt.Var:
    if floor > 0:
        return jt.sqrt(jt.maximum(x, floor))
    return jt.ternary(x > NO_DISTANCE, jt.sqrt(jt.maximum(x, NO_DISTANCE)), jt.zeros_like(x))


def _normalizer(pair: GaussianPair, floor: float) -> jt.Var:
    """2 (det S_1 det S_2)^(1/8), in px: makes the Wasserstein distance free of the scale of the boxes."""
    (p1, p2), (t1, t2) = pair.first_std, pair.second_std
    product = p1 * p2 * t1 * t2
    if floor > 0:
        product = jt.maximum(product, floor**0.5)
    return 2.0 * jt.sqrt(jt.sqrt(product))


def gwd_distance(
    pair: GaussianPair, alpha: float = 1.0, normalize: bool = True, floor: float = 1e-7
) -> jt.Var:
    """Wasserstein distance, by default divided by the mean size of the boxes.

    Args:
        pair: Gaussians [...].
        alpha: weight of the shape against the centre.
        normalize: divide by 2 (det S_1 det S_2)^(1/8), a quarter-power mean of the four sides.
        floor: smallest squared distance, px^2; see `GDLoss`.
    Returns:
        [...] without unit if normalized, else in px.
    """
    distance = _floored_root(squared_wasserstein(pair, alpha), floor)
    return distance / _normalizer(pair, floor) if normalize else distance


def _kld(pair: GaussianPair, alpha: float) -> jt.Var:
    return kl_second_to_first(pair, alpha)


def _jd(pair: GaussianPair, alpha: float) -> jt.Var:
    return 0.5 * (kl_second_to_first(pair, alpha) + kl_second_to_first(pair.swapped(), alpha))


def _kld_symmax(pair: GaussianPair, alpha: float) -> jt.Var:
    forward, backward, share = _both_directions(pair, alpha)
    return share * forward + (1.0 - share) * backward


def _kld_symmin(pair: GaussianPair, alpha: float) -> jt.Var:
    forward, backward, share = _both_directions(pair, alpha)
    return (1.0 - share) * forward + share * backward


def _both_directions(pair: GaussianPair, alpha: float) -> tuple[jt.Var, jt.Var, jt.Var]:
    """Both divergences, and 1 where the first is larger; 0.5 on a tie, then both get gradient."""
    forward, backward = kl_second_to_first(pair, alpha), kl_second_to_first(pair.swapped(), alpha)
    return forward, backward, 0.5 * ((forward > backward).float32() + (forward >= backward).float32())


DIVERGENCES = {"kld": _kld, "jd": _jd, "kld_symmax": _kld_symmax, "kld_symmin": _kld_symmin}
FUNCTIONS = ("log1p", "sqrt", "none")


def distance_to_loss(distance: jt.Var, fun: str = "log1p", tau: float = 0.0, floor: float = 1e-7) -> jt.Var:
    """Flattens large distances.

    Args:
        distance: [...] >= 0.
        fun: `log1p` ln(1 + d), `sqrt`, or `none`.
        tau: from 1 on, the result v becomes 1 - 1 / (tau + v), in [0, 1); below 1 it is not used.
        floor: smallest radicand of `sqrt`.
    Returns:
        [...]
    Source: arXiv:2101.11952, equation 6.
    """
    if fun == "log1p":
        distance = jt.log(1.0 + distance)
    elif fun == "sqrt":
        distance = _floored_root(distance, floor)
    return 1.0 - 1.0 / (tau + distance) if tau >= 1 else distance


@LOSSES.register(aliases=("GaussianDistanceLoss",))
class GDLoss(WeightedLoss):
    """Distance between the Gaussians of predicted and true rotated boxes: GWD, KLD, Jeffreys, symmetric KLD.

    Weights are [...] or [..., 5] (their mean counts). Rows of weight 0 are not looked at: whatever they hold,
    loss and gradient stay finite. Without any weight the loss is 0.

    Source: arXiv:2101.11952 (gwd), arXiv:2106.01883 (the others); mmRotate's `GDLoss`.
    Differs: sides count as at least 1e-7 px, so boxes without area and identical boxes have finite gradients
        (mmRotate 0.1.0: not a number). Boxes by variance and correlation (`xy_stddev_pearson`) are not read.
    """

    turned_is_same = True

    def __init__(
        self,
        loss_type: str,
        representation: str = "xy_wh_r",
        fun: str = "log1p",
        tau: float = 0.0,
        alpha: float = 1.0,
        reduction: str = "mean",
        loss_weight: float = 1.0,
        normalize: bool = True,
        sqrt: bool = True,
        distance_floor: float = 1e-7,
    ):
        """Args:
            loss_type: `gwd`; `kld`, KL(target || prediction); `jd`, the mean of both directions;
                `kld_symmax`, `kld_symmin`, the larger or smaller of them.
            representation: `xy_wh_r` only.
            fun: see `distance_to_loss`.
            tau: see `distance_to_loss`.
            alpha: weight of the shape (gwd), divisor of the centre's part (others).
            reduction: see `reduce_loss`.
            loss_weight: factor of the reduced loss.
            normalize: gwd only: divide by the size of the boxes.
            sqrt: all but gwd: take the root of the divergence.
            distance_floor: smallest value under a root: the loss of identical boxes is not 0 but its root.
                mmRotate from 0.3 on has 1e-7, mmRotate 0.1.0, on which rotated distillation was released, 0.
        Raises:
            ConfigError: unknown type, representation or function; an argument that the type does not have.
        """
        super().__init__(loss_weight, reduction)
        self.loss_type = one_of(loss_type, ("gwd", *DIVERGENCES), f"unknown Gaussian loss_type {loss_type!r}")
        one_of(representation, ("xy_wh_r",), f"unknown box representation {representation!r}")
        if not normalize and loss_type != "gwd":
            raise ConfigError(
                f"normalize=False is for loss_type 'gwd', a {loss_type!r} has no unit: leave it out."
            )
        if not sqrt and loss_type == "gwd":
            raise ConfigError(
                "sqrt=False is for divergences, loss_type 'gwd' is always a root: leave it out."
            )
        self.fun = one_of(fun, FUNCTIONS, f"unknown Gaussian loss fun {fun!r}")
        self.tau, self.alpha, self.normalize, self.sqrt = tau, alpha, normalize, sqrt
        self.distance_floor = distance_floor

    def distance(self, pred: jt.Var, target: jt.Var) -> jt.Var:
        """[...] distance of boxes [..., 5], before `fun` and `tau`."""
        pair = pair_boxes(pred, target)
        if self.loss_type == "gwd":
            return gwd_distance(pair, self.alpha, self.normalize, self.distance_floor)
        divergence = DIVERGENCES[self.loss_type](pair, self.alpha)
        return _floored_root(divergence, self.distance_floor) if self.sqrt else divergence

    def element_loss(self, pred: jt.Var, target: jt.Var) -> jt.Var:
        """[...] from boxes [..., 5]."""
        return distance_to_loss(self.distance(pred, target), self.fun, self.tau, self.distance_floor)

    def __call__(
        self,
        pred: jt.Var,
        target: jt.Var,
        weight: jt.Var | None = None,
        avg_factor: jt.Var | float | None = None,
    ) -> jt.Var:
        """Scalar loss of boxes [..., 5]; see `reduce_loss` for `avg_factor`."""
        if weight is not None:
            weight = row_weights(weight, pred)
            pred = drop_unweighted(pred, target, weight)
        return super().__call__(pred, target, weight, avg_factor)


def first_family_loss(pair: GaussianPair, loss_type: str, fun: str = "sqrt", tau: float = 1.0) -> jt.Var:
    """Element loss of `GDLoss_v1`.

    1 - 1 / (tau + fun(distance)) of the squared Wasserstein distance (px^2), of twice
    KL(prediction || target) or of the Bhattacharyya distance, each at least 1e-6. An empty `fun` means: the
    normalized ln(1 + d) without tau for gwd, no function for bcd, log1p for kld.

    Args:
        pair: prediction and target [...].
        loss_type: `gwd`, `kld` or `bcd`.
        fun: `log1p`, `sqrt` or empty.
        tau: see above.
    Returns:
        [...]
    """
    distance = jt.maximum(FIRST_FAMILY_DISTANCES[loss_type](pair), FIRST_FAMILY_FLOOR)
    if not fun and loss_type == "gwd":
        return jt.log(1.0 + jt.sqrt(distance) / _normalizer(pair, 0.0))
    if not fun and loss_type == "bcd":
        return 1.0 - 1.0 / (tau + distance)
    return 1.0 - 1.0 / (tau + (jt.sqrt(distance) if fun == "sqrt" else jt.log(1.0 + distance)))


FIRST_FAMILY_DISTANCES = {
    "gwd": squared_wasserstein,
    "kld": lambda pair: 2.0 * kl_second_to_first(pair.swapped()),
    "bcd": bhattacharyya,
}
AVERAGES = ("avg_factor", "positives")


@LOSSES.register(name="GDLoss_v1")
class GDLossV1(WeightedLoss):
    """The older Gaussian distances of rotated boxes: KLD, BCD and unnormalized GWD.

    Weights and rows of weight 0 are treated as by `GDLoss`.

    Source: arXiv:2106.01883, arXiv:2205.11796, arXiv:2101.11952; mmRotate's `GDLoss_v1`.
    Differs: the released class ignores weights, `reduction` and `avg_factor`: it returns one value per row of
        positive weight, of which the training loop takes the mean, level by level, and adds the levels. Here
        they count as in every other loss. For the released value call the loss per level with
        `average="positives"`, or give a dense head `box_normalizer="positives_per_level"`.
    """

    turned_is_same = True

    def __init__(
        self,
        loss_type: str,
        fun: str = "sqrt",
        tau: float = 1.0,
        reduction: str = "mean",
        loss_weight: float = 1.0,
        average: str = "avg_factor",
    ):
        """Args:
            loss_type: `kld`, `bcd` or `gwd`.
            fun: see `first_family_loss`.
            tau: see `first_family_loss`.
            reduction: see `reduce_loss`.
            loss_weight: factor of the reduced loss.
            average: `avg_factor`, see `reduce_loss`; `positives`: the mean over the rows of positive weight,
                whatever the size of the weights, `reduction` and `avg_factor`, and 0 without such a row.
        Raises:
            ConfigError: unknown type, function or average.
        """
        super().__init__(loss_weight, reduction)
        self.loss_type = one_of(
            loss_type, tuple(FIRST_FAMILY_DISTANCES), f"unknown Gaussian loss_type {loss_type!r}"
        )
        self.fun = one_of(fun, ("log1p", "sqrt", ""), f"unknown Gaussian loss fun {fun!r}")
        self.tau = tau
        self.average = one_of(average, AVERAGES, f"unknown GDLoss_v1 average {average!r}")

    def element_loss(self, pred: jt.Var, target: jt.Var) -> jt.Var:
        """[...] from boxes [..., 5]."""
        return first_family_loss(pair_boxes(pred, target), self.loss_type, self.fun, self.tau)

    def __call__(
        self,
        pred: jt.Var,
        target: jt.Var,
        weight: jt.Var | None = None,
        avg_factor: jt.Var | float | None = None,
    ) -> jt.Var:
        """Scalar loss of boxes [..., 5] and weights [...] or [..., 5]."""
        if weight is not None:
            weight = row_weights(weight, pred)
            pred = drop_unweighted(pred, target, weight)
        if self.average == "avg_factor":
            return super().__call__(pred, target, weight, avg_factor)
        loss = self.element_loss(pred, target) * self.loss_weight
        if weight is None:
            return loss.mean()
        counts = (weight > 0).float32()
        return (loss * counts).sum() / jt.maximum(counts.sum(), 1.0)
