"""Every location of an image."""

from __future__ import annotations

from jld.registry import REGIONS


@REGIONS.register(aliases=("all",))
class All:
    """Every prior inside the image's own padded area (`all`).

    Source: arXiv:1412.6550 (FitNets), the whole-map row of feature imitation.
    """

    def __call__(self, context):
        """[N, P] 1 for valid cells."""
        return context.valid_mask
