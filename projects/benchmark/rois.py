"""Crops of boxes (RoIAlign) and suppression of proposals, alone and beside mmcv's or torchvision's."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from jld.errors import JldError
from jld.models.rois import RoIPooler
from jld.ops.nms import nms_picks
from jld.ops.roi_align import roi_align
from jld.toolchain import jittor as jt
from projects.benchmark.alternate import alternate, side_by_side
from projects.benchmark.clock import loaded_kernels, peak_memory_mib
from projects.benchmark.networks import measuring
from projects.benchmark.peer import NO_PEER, TORCH, Duel, library_of, open_programs, peer_facts
from projects.benchmark.report import Report
from projects.benchmark.scene import Settings, random_boxes

PEER = "rois"
STRIDES, SIZE = (4, 8, 16, 32), 7
PROPOSAL_STRIDES = (*STRIDES, 64)
# Of an image: RoIs that are learnt from, anchors of a level that suppression looks at, proposals at most.
ROIS, PER_LEVEL, MOST_KEPT, THRESHOLD = 512, 2000, 1000, 0.7
# Largest difference of equal results, as a share of the largest number: sums in another order.
LIMIT = 1e-5


def benchmark_rois(settings: Settings, duel: Duel = NO_PEER) -> Report:
    """RoIAlign forward and with its gradient, and suppression of proposals on their levels.

    Args:
        settings: sizes; maps are of `head_channels`.
        duel: with whom. The peer has the same maps and boxes.
    Raises:
        JldError: the results are not the same.
    """
    scene = random_rois(settings)
    maps = [jt.array(scene[f"maps/{level}"]) for level in range(len(STRIDES))]
    held = {name: jt.array(value) for name, value in scene.items() if name.startswith("rois/")}
    boxes, levels, weights, proposals, groups = (
        held[f"rois/{name}"] for name in ("boxes", "levels", "weights", "proposals", "proposal_levels")
    )

    def crops() -> jt.Var:
        return roi_align(maps, boxes, levels, STRIDES, size=SIZE, sampling_ratio=0)

    def forward() -> jt.Var:
        with jt.no_grad():
            return crops()

    def both() -> list[jt.Var]:
        found = crops()
        return [*jt.grad((found * weights).sum(), maps), found]  # Jittor leaves out what nobody holds

    functions = {
        "RoIAlign": forward,
        "RoIAlign with gradient": both,
        "NMS of proposals": lambda: nms_picks(proposals, groups, THRESHOLD, MOST_KEPT),
    }
    tasks = {name: measuring(name, function) for name, function in functions.items()}
    library = library_of(duel, PEER)
    told = asdict(settings) | {"detector": PEER, "strides": STRIDES, "size": SIZE, "library": library}
    told |= {"limits": (THRESHOLD, MOST_KEPT)}
    with open_programs(told, duel, None if library is None else scene) as peers:
        facts: dict[str, Any] = {"proposals looked at in an image": proposals.shape[1]}
        if TORCH in peers:
            found = {name: function() for name, function in functions.items()}
            facts |= compare(found, proposals.shape[1], peers[TORCH])
            del found
        sides = alternate(tasks, peers, settings)
        facts |= {"kernels used": loaded_kernels(), "peak memory, MiB": peak_memory_mib()}
        facts |= peer_facts(duel, peers, PEER)
    title = (
        f"RoIs: {ROIS} of every image, {settings.head_channels} channels, batch {settings.size()}, "
        f"{settings.steps} runs after {settings.warmup}"
    )
    return Report(title, **side_by_side(sides, {name: name for name in tasks}), facts=facts)


def random_rois(settings: Settings) -> dict[str, np.ndarray]:
    """What is cropped and what is suppressed: "maps/<level>", and under "rois/" boxes and their levels.

    Corners are multiples of a quarter of a pixel, so that neither side rounds an overlap.
    """
    rng = np.random.default_rng(0)
    n, height, width = settings.batch, settings.height, settings.width
    maps = {
        f"maps/{level}": rng.standard_normal(
            (n, settings.head_channels, height // stride, width // stride), np.float32
        )
        for level, stride in enumerate(STRIDES)
    }
    corner, sides = random_boxes(rng, (n, ROIS), settings)
    boxes = _quarters(np.concatenate([corner, corner + sides], -1))
    levels = RoIPooler(STRIDES).places(jt.array(boxes), jt.ones((n, ROIS))).levels.numpy()
    counts = [min(PER_LEVEL, 3 * (height // stride) * (width // stride)) for stride in PROPOSAL_STRIDES]
    proposal_levels = rng.permuted(np.tile(np.repeat(np.arange(5, dtype=np.int32), counts), (n, 1)), axis=1)
    scale = np.array(PROPOSAL_STRIDES)[proposal_levels][..., None] * 8
    sides = scale * np.exp(rng.uniform(-0.5, 0.5, (*proposal_levels.shape, 2)))
    center = rng.uniform(size=sides.shape) * (width, height)
    limits = np.array([width, height, width, height])
    proposals = np.concatenate([center - sides / 2, center + sides / 2], -1).clip(0, limits)
    scores = np.tile(np.linspace(1, 0, proposals.shape[1], dtype=np.float32), (n, 1))
    found = {
        "boxes": boxes,
        "levels": levels,
        "weights": rng.standard_normal((n, ROIS, settings.head_channels, SIZE, SIZE), np.float32),
        "proposals": _quarters(proposals),
        "scores": scores,
        "proposal_levels": proposal_levels,
    }
    return maps | {f"rois/{name}": value for name, value in found.items()}


def compare(ours: Mapping[str, Any], num_proposals: int, peer: Any) -> dict[str, Any]:
    """{fact: largest difference of crops and gradients as a share of the largest number, and kept proposals}.

    Args:
        ours: {row: its result}.
        num_proposals: that suppression looks at in an image.
        peer: the program, which is asked for its own.
    Raises:
        JldError: a difference is above `LIMIT`, or other proposals are kept.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "results.npz"
        peer.ask("results", file=str(file))
        with np.load(file) as archive:
            theirs = dict(archive)
    *gradients, crops = (x.numpy() for x in ours["RoIAlign with gradient"])
    worst = {
        "crops": _difference([crops], [theirs["crops"]]),
        "gradients": _difference(gradients, [theirs[f"gradient/{level}"] for level in range(len(gradients))]),
    }
    picks = [own[own < num_proposals] for own in ours["NMS of proposals"].numpy()]
    kept = [theirs[f"kept/{image}"] for image in range(len(picks))]
    is_same = all(map(np.array_equal, picks, kept))
    if not (all(value <= LIMIT for value in worst.values()) and is_same):
        raise JldError(
            f"the peer's results are others: differences {worst}, the same proposals kept: {is_same}."
        )
    facts: dict[str, Any] = {
        f"largest difference of {name} from the peer's, share": value for name, value in worst.items()
    }
    return facts | {"proposals kept, the same in both": sum(map(len, kept))}


def _difference(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray]) -> float:
    """The largest one of all arrays, divided by the largest number: a level may have no box, and zeros."""
    # NumPy's maximum: Python's would overlook what is not a number.
    largest = np.max([np.abs(own - other).max() for own, other in zip(ours, theirs, strict=True)])
    return float(largest / np.max([np.abs(other).max() for other in theirs]))


def _quarters(boxes: np.ndarray) -> np.ndarray:
    return (np.round(boxes * 4) / 4).astype(np.float32)
