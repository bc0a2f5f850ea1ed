"""Which of the assigned places a loss looks at: far more are negative than can be learnt from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from jld.assign.assignment import Assignment
from jld.errors import ConfigError
from jld.ops.sample_places import sample_places
from jld.registry import SAMPLERS
from jld.toolchain import jittor as jt


@dataclass(frozen=True)
class Sample:
    """S places of each of N images, chosen from P.

    Attributes:
        places: [N, S] int32, positives first; P in empty slots.
        chosen: [N, P] 1 where a place was chosen.
    """

    places: jt.Var
    chosen: jt.Var


@SAMPLERS.interface
class Sampler(Protocol):
    """Chooses places for a loss.

    Attributes:
        num: S, places of an image at most.
        most_positives: positives among them at most; they take the first slots.
    """

    num: int
    most_positives: int

    def __call__(self, assignment: Assignment, seeds: jt.Var, /) -> Sample:
        """The sample; `seeds` [N] int32 tells images and steps apart, ignored places are never chosen."""


@SAMPLERS.register
class RandomSampler:
    """Draws positives up to a share of the places, and fills the rest with negatives.

    Args:
        num: places of an image.
        pos_fraction: share of positives at most.
        neg_pos_ub: negatives for each positive at most (an image without positives counts one); below 0: no
            limit.
    Raises:
        ConfigError: no place, or a share outside of [0, 1].
    Source: arXiv:1506.01497, section 3.1.3; mmDetection's RandomSampler.
    Differs: what is drawn follows from the image, the step, the run's seed and the numbers of the places,
        which the padding of a batch decides; not from the order of the images or from earlier draws.
    """

    is_even = False

    def __init__(self, num: int = 256, pos_fraction: float = 0.5, neg_pos_ub: float = -1.0):
        if num < 1 or not 0 <= pos_fraction <= 1:
            raise ConfigError(
                f"{type(self).__name__}: num {num} must be 1 or more, pos_fraction {pos_fraction} in [0, 1]; "
                "published are 256 and 0.5 (RPN), 512 and 0.25 (RoI head)."
            )
        self.num, self.most_positives = int(num), int(num * pos_fraction)
        self.neg_pos_ub = float(neg_pos_ub)

    def __call__(self, assignment: Assignment, seeds: jt.Var) -> Sample:
        """See `Sampler`."""
        return Sample(
            *sample_places(
                assignment.gt_index,
                assignment.label_weights,
                seeds,
                num=self.num,
                most_positives=self.most_positives,
                negatives_per_positive=self.neg_pos_ub,
                is_even=self.is_even,
            )
        )


@SAMPLERS.register
class SpreadSampler(RandomSampler):
    """`RandomSampler` without chance: spreads its choice evenly over the candidates, for comparisons.

    Of n candidates in order it takes k: numbers i n // k for i = 0 to k - 1.
    """

    is_even = True
