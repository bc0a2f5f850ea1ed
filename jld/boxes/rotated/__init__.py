"""Rotated boxes: angle versions, conversions, motions, exact overlaps. NumPy and shapely only.

`angles.py` defines the conventions; everything else refers to it.
"""

from jld.boxes.rotated.angles import ANGLE_VERSIONS, check_version, regularize_rboxes, wrap_angles
from jld.boxes.rotated.candidates import candidate_pairs, shared_area_bounds
from jld.boxes.rotated.corners import (
    edges_to_rboxes,
    is_loadable,
    polys_to_rboxes,
    rboxes_to_polys,
    reorder_corners,
    shapes_to_polys,
)
from jld.boxes.rotated.motions import flip_polys, flip_rboxes, rotate_rboxes, scale_rboxes
from jld.boxes.rotated.polygon_iou import (
    matched_poly_iou,
    matched_rbox_iou,
    pairwise_poly_iou,
    pairwise_rbox_iou,
    poly_areas,
)
from jld.boxes.rotated.polygon_nms import nms_polys
from jld.boxes.rotated.upright import polys_to_xyxy, rboxes_to_xyxy, upright_rboxes, xyxy_to_rboxes

__all__ = [
    "ANGLE_VERSIONS",
    "candidate_pairs",
    "check_version",
    "edges_to_rboxes",
    "flip_polys",
    "flip_rboxes",
    "is_loadable",
    "matched_poly_iou",
    "matched_rbox_iou",
    "nms_polys",
    "pairwise_poly_iou",
    "pairwise_rbox_iou",
    "poly_areas",
    "polys_to_rboxes",
    "polys_to_xyxy",
    "rboxes_to_polys",
    "rboxes_to_xyxy",
    "regularize_rboxes",
    "reorder_corners",
    "rotate_rboxes",
    "scale_rboxes",
    "shapes_to_polys",
    "shared_area_bounds",
    "upright_rboxes",
    "wrap_angles",
    "xyxy_to_rboxes",
]
