"""Every operator of jld that has a CUDA body, and what the networks lean on most, on small inputs.

Each entry makes its inputs from a random generator and returns Vars, so that two devices can be compared and
a build without a device has something to compile.
"""

from functools import partial
from types import SimpleNamespace

import numpy as np

from jld.ops.atss_match import atss_match
from jld.ops.box_overlaps import box_overlaps
from jld.ops.channel_affine import channel_affine
from jld.ops.conv2d import conv2d
from jld.ops.crop_means import crop_means
from jld.ops.deform_conv import deform_conv2d
from jld.ops.expectation import expected_values
from jld.ops.group_norm import group_norm
from jld.ops.layer_norm import layer_norm
from jld.ops.mask_maps import mask_maps
from jld.ops.mask_targets import BitmapTargets, PolygonTargets, mask_targets
from jld.ops.max_iou_match import max_iou_match
from jld.ops.nearest_priors import nearest_priors
from jld.ops.nms import nms_mask, nms_picks
from jld.ops.paint_boxes import paint_boxes
from jld.ops.precision import convolutions_in
from jld.ops.roi_align import roi_align
from jld.ops.rotated_iou import aligned_rotated_iou, pairwise_rotated_iou
from jld.ops.rotated_match import TIES, rotated_match
from jld.ops.rotated_nms import rotated_nms_mask
from jld.ops.sample_places import sample_places
from jld.ops.soft_targets import soft_cross_entropy, soft_kl_divergence
from jld.ops.valuable_overlaps import valuable_overlaps
from jld.ops.window_attention import window_attention
from jld.optim import LossScale
from jld.toolchain import jittor as jt


def normal(rng, *shape):
    return jt.array(rng.standard_normal(shape).astype(np.float32))


def boxes(rng, *shape):
    corner, size = rng.uniform(0, 40, (*shape, 2)), rng.uniform(5, 30, (*shape, 2))
    return jt.array(np.concatenate([corner, corner + size], -1).astype(np.float32))


def rotated_boxes(rng, *shape):
    centre, size = rng.uniform(10, 40, (*shape, 2)), rng.uniform(5, 30, (*shape, 2))
    return jt.array(np.concatenate([centre, size, rng.uniform(-2, 2, (*shape, 1))], -1).astype(np.float32))


def with_gradients(function, *inputs):
    result = function(*inputs)
    return [result, *jt.grad((result * result).sum(), list(inputs))]


def convolution(rng):
    images, weight = normal(rng, 2, 4, 9, 9), normal(rng, 6, 4, 3, 3)
    return with_gradients(lambda x, w: jt.nn.conv2d(x, w, stride=2, padding=1), images, weight)


def half_convolution(rng, precision, groups):
    images, weight = normal(rng, 2, 4, 9, 9), normal(rng, 6, 4 // groups, 3, 3)
    with convolutions_in(precision):
        return with_gradients(lambda x, w: conv2d(x, w, padding=(1, 1), groups=groups), images, weight)


def loss_scale(rng):
    scale = LossScale()
    grads = scale.unscaled([normal(rng, 4, 5), normal(rng, 6)])
    kept = scale.kept(*grads[:1], normal(rng, 4, 5))
    scale.update()
    return [*grads, kept, scale.scale, scale.skipped]


def half_pooling(rng):
    return [jt.nn.Pool(3, stride=2, padding=1, op="maximum")(normal(rng, 1, 2, 8, 8).float16()).float32()]


def deform_conv(rng):
    settings = {"stride": (2, 1), "padding": (1, 1), "deform_groups": 2}
    inputs = normal(rng, 2, 4, 9, 9), normal(rng, 2, 36, 5, 9), normal(rng, 6, 4, 3, 3)
    return with_gradients(lambda x, offset, weight: deform_conv2d(x, offset, weight, **settings), *inputs)


def modulated_deform_conv(rng):
    settings = {"stride": (2, 1), "padding": (1, 1), "deform_groups": 2}
    inputs = normal(rng, 2, 4, 9, 9), normal(rng, 2, 36, 5, 9), normal(rng, 6, 4, 3, 3)
    mask = jt.array(rng.uniform(0, 1, (2, 18, 5, 9)).astype(np.float32))
    return with_gradients(lambda *given: deform_conv2d(*given, **settings), *inputs, mask)


def attended(rng):
    regions = jt.array(rng.integers(0, 2, (3, 5)).astype(np.int32))
    inputs = normal(rng, 6, 5, 36), normal(rng, 2, 5, 5)
    return with_gradients(lambda qkv, bias: window_attention(qkv, bias, regions, 2), *inputs)


def normalised(rng, relu):
    inputs = normal(rng, 2, 12, 25, 26), normal(rng, 12), normal(rng, 12)
    return with_gradients(lambda x, weight, bias: group_norm(x, weight, bias, 3, relu=relu), *inputs)


def scaled(rng, has_shortcut):
    inputs = [normal(rng, 2, 6, 25, 26), normal(rng, 6), normal(rng, 6), normal(rng, 2, 6, 25, 26)]
    return with_gradients(
        lambda *given: channel_affine(*given, relu=True), *inputs[: 4 if has_shortcut else 3]
    )


def soft_targets(rng, loss, rows):
    targets = normal(rng, rows, 40)
    return with_gradients(lambda logits: loss(logits, targets), normal(rng, rows, 40))


def overlaps(rng, mode):
    targets = boxes(rng, 60)
    return with_gradients(lambda predicted: box_overlaps(predicted, targets, mode), boxes(rng, 60))


def expectation(rng):
    supports = np.linspace([0, -3], [16, 3], 17, axis=1)
    return with_gradients(lambda logits: expected_values(logits, supports), normal(rng, 9, 2, 17))


def groups(rng):
    return jt.array(rng.integers(-1, 2, (2, 40)).astype(np.int32))


def matches(rng, assign_all, sets=1):
    priors, objects = boxes(rng, sets, 60), boxes(rng, 2, 5)
    masks = jt.array(rng.integers(0, 2, (2, 5)).astype(np.float32))
    usable = jt.array((rng.uniform(size=(2, 60)) < 0.9).astype(np.float32))
    return list(max_iou_match(priors, objects, masks, usable, min_pos_iou=0.1, assign_all=assign_all))


def rotated_matches(rng, ties, sets=1):
    priors, objects = rotated_boxes(rng, sets, 60), rotated_boxes(rng, 2, 5)
    masks = jt.array(rng.integers(0, 2, (2, 5)).astype(np.float32))
    usable = jt.array((rng.uniform(size=(2, 60)) < 0.9).astype(np.float32))
    found = rotated_match(priors, objects, masks, usable, min_pos_iou=0.1, ties=ties)
    return [found.best, found.first, found.claimed, found.reached]


def nearest(rng, late):
    centers = np.stack(np.meshgrid(np.arange(8), np.arange(6)), -1).reshape(-1, 2).astype(np.float32) * 8
    grid = jt.array(np.int32([[[0, 8, 7, 6, 8]], [[0, 8, 8, 2, 8]]]))
    late = jt.array((rng.uniform(size=(2, 48)) < 0.5).astype(np.float32)) if late else None
    masks = jt.array(rng.integers(0, 2, (2, 5)).astype(np.float32))
    settings = {"topk": 9, "num_per_cell": 1, "late": late}
    return list(nearest_priors(jt.array(centers[None]), boxes(rng, 2, 5), masks, grid, **settings))


def candidate_matches(rng, sets=1):
    index = jt.array(rng.integers(0, 60, (2, 5, 40)).astype(np.int32))
    mask = jt.array((rng.uniform(size=(2, 5, 40)) < 0.8).astype(np.float32))
    inputs = boxes(rng, sets, 60), boxes(rng, 2, 5), index, mask
    return list(atss_match(*inputs, min_inset_px=0.01, unreachable=1e8))


def bands(rng, sets=1):
    thresholds = jt.array(rng.uniform(0.2, 0.6, (2, 5)).astype(np.float32))
    inputs = boxes(rng, sets, 600), boxes(rng, 2, 5), thresholds, jt.ones((2, 600))
    return [valuable_overlaps(*inputs, gamma=0.25, of_prior=of_prior) for of_prior in (False, True)]


def targets_of_masks(rng, form):
    starts = [np.int32([[0, 5, 12], [0, 12, 12]]), np.int32([[0, 1, 2], [0, 1, 1]])]
    polygons = PolygonTargets(
        jt.array(rng.uniform(0, 60, (2, 12, 2)).astype(np.float32)), *map(jt.array, starts)
    )
    bitmaps = BitmapTargets(jt.array(rng.integers(0, 2, (2, 2, 60, 60)).astype(np.uint8)))
    masks = {"polygons": polygons, "bitmaps": bitmaps}[form]
    index = jt.array(rng.integers(-1, 2, (2, 9)).astype(np.int32))
    targets = SimpleNamespace(masks=masks, img_shapes=np.int32([[60, 60], [50, 40]]))
    return [mask_targets(targets, boxes(rng, 2, 9), index, 28), mask_maps(targets, (60, 60), 15, 12)]


def aligned_regions(rng, **settings):
    objects, levels = boxes(rng, 2, 3), jt.array(rng.integers(-1, 2, (2, 3)).astype(np.int32))
    return with_gradients(
        lambda fine, coarse: roi_align([fine, coarse], objects, levels, [4, 8], **settings),
        normal(rng, 2, 4, 16, 16),
        normal(rng, 2, 4, 8, 8),
    )


def sample(rng, is_even):
    index = jt.array(rng.integers(-3, 2, (3, 5000)).astype(np.int32))
    usable = jt.array((rng.uniform(size=(3, 5000)) < 0.9).astype(np.float32))
    seeds = jt.array(rng.integers(0, 2**31, 3).astype(np.int32))
    return list(sample_places(index, usable, seeds, num=256, most_positives=64, is_even=is_even))


def rectangles(rng, *shape):
    corner = rng.integers(0, 5, (*shape, 2))
    return jt.array(np.concatenate([corner, corner + rng.integers(0, 3, (*shape, 2))], -1).astype(np.int32))


KERNELS = {
    "convolution": convolution,
    "half_convolution": lambda rng: half_convolution(rng, "float16", groups=1),
    "half_convolution_bfloat16": lambda rng: half_convolution(rng, "bfloat16", groups=1),
    "half_convolution_groups": lambda rng: half_convolution(rng, "float16", groups=2),
    "loss_scale": loss_scale,
    "half_pooling": half_pooling,
    "sort": lambda rng: list(jt.argsort(normal(rng, 4, 9), dim=1)),
    "product": lambda rng: [normal(rng, 4, 5) @ normal(rng, 5, 6)],
    "deform_conv": deform_conv,
    "modulated_deform_conv": modulated_deform_conv,
    "layer_norm": lambda rng: with_gradients(
        layer_norm, normal(rng, 70, 40), normal(rng, 40), normal(rng, 40)
    ),
    "window_attention": attended,
    "channel_affine": lambda rng: scaled(rng, has_shortcut=False),
    "channel_affine_shortcut": lambda rng: scaled(rng, has_shortcut=True),
    "soft_kl_divergence": lambda rng: soft_targets(rng, partial(soft_kl_divergence, temperature=3.0), 13),
    "soft_cross_entropy": lambda rng: soft_targets(rng, soft_cross_entropy, 13),
    "soft_cross_entropy_of_nothing": lambda rng: soft_targets(rng, soft_cross_entropy, 0),
    "expectation": expectation,
    "box_overlaps_iou": lambda rng: overlaps(rng, "iou"),
    "box_overlaps_giou": lambda rng: overlaps(rng, "giou"),
    "group_norm": lambda rng: normalised(rng, relu=False),
    "group_norm_relu": lambda rng: normalised(rng, relu=True),
    "nms_mask": lambda rng: [nms_mask(boxes(rng, 2, 40), groups(rng), 0.3, max_keep=9)],
    "nms_picks": lambda rng: [nms_picks(boxes(rng, 2, 40), groups(rng), 0.3, 9)],
    "max_iou_match_all": lambda rng: matches(rng, assign_all=True),
    "max_iou_match_first": lambda rng: matches(rng, assign_all=False),
    "nearest_priors": lambda rng: nearest(rng, late=False),
    "nearest_priors_late": lambda rng: nearest(rng, late=True),
    "atss_match": candidate_matches,
    "valuable_overlaps": bands,
    "atss_match_sets": lambda rng: candidate_matches(rng, sets=2),
    "valuable_overlaps_sets": lambda rng: bands(rng, sets=2),
    "max_iou_match_sets": lambda rng: matches(rng, assign_all=True, sets=2),
    "rotated_match_sets": lambda rng: rotated_matches(rng, "nearest", sets=2),
    "roi_align": lambda rng: aligned_regions(rng, size=2),
    "roi_align_adaptive": lambda rng: aligned_regions(rng, size=(3, 2), sampling_ratio=0, aligned=False),
    "sample_places": lambda rng: sample(rng, is_even=False),
    "sample_places_evenly": lambda rng: sample(rng, is_even=True),
    "masks_from_polygons": lambda rng: targets_of_masks(rng, "polygons"),
    "masks_from_bitmaps": lambda rng: targets_of_masks(rng, "bitmaps"),
    "crop_means": lambda rng: with_gradients(
        lambda maps: crop_means(maps, rectangles(rng, 2, 5)), normal(rng, 2, 3, 7, 7)
    ),
    "paint_boxes": lambda rng: [paint_boxes(rectangles(rng, 2, 5), normal(rng, 2, 5), 7, 7)],
    "pairwise_rotated_iou": lambda rng: [pairwise_rotated_iou(rotated_boxes(rng, 9), rotated_boxes(rng, 7))],
    "aligned_rotated_iou": lambda rng: [aligned_rotated_iou(rotated_boxes(rng, 9), rotated_boxes(rng, 9))],
    "rotated_nms_mask": lambda rng: [
        rotated_nms_mask(rotated_boxes(rng, 2, 40), groups(rng), 0.3, max_keep=9)
    ],
} | {f"rotated_match_{ties}": lambda rng, ties=ties: rotated_matches(rng, ties) for ties in TIES}
