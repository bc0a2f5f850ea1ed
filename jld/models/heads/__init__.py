"""Heads: pyramid maps in; predictions, losses and detections out. Importing the package registers them."""

from jld.models.heads.gfl_head import GFLHead

__all__ = ["GFLHead"]
