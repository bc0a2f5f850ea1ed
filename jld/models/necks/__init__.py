"""Necks: from backbone stages to the pyramid the heads read. Importing the package registers them."""

from jld.models.necks.fpn import FPN

__all__ = ["FPN"]
