"""Heads: pyramid maps in; predictions, losses and detections out. Importing the package registers them."""

from jld.models.heads.atss_head import ATSSHead
from jld.models.heads.box_head import BoxHead
from jld.models.heads.fcos_head import FCOSHead
from jld.models.heads.gfl_head import GFLHead
from jld.models.heads.gflv2_head import GFLv2Head
from jld.models.heads.mask_head import MaskHead
from jld.models.heads.retina_head import RetinaHead
from jld.models.heads.roi_head import RoIHead
from jld.models.heads.rotated_retina_head import RotatedRetinaHead
from jld.models.heads.rpn_head import RPNHead

__all__ = [
    "ATSSHead",
    "BoxHead",
    "FCOSHead",
    "GFLHead",
    "GFLv2Head",
    "MaskHead",
    "RPNHead",
    "RetinaHead",
    "RoIHead",
    "RotatedRetinaHead",
]
