"""Rotated boxes and DOTA data: jld beside plain loops and, where they are, mmcv and the public tools."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from jld.boxes.detections import Detections
from jld.boxes.rotated import rboxes_to_polys
from jld.boxes.rotated.anchors import RotatedAnchorGenerator
from jld.data.dota.merge import merge_patches
from jld.data.dota.patches import SplitSettings
from jld.data.dota.split import find_images, split_dataset
from jld.data.dota.submission import write_submission
from jld.evaluation.dota import DotaEvaluator
from jld.models.targets import Targets
from jld.ops.rotated_iou import pairwise_rotated_iou
from jld.ops.rotated_nms import rotated_nms
from jld.registry import build
from jld.toolchain import jittor as jt
from projects.benchmark import rotated_plain as plain
from projects.benchmark.clock import TIMING_COLUMNS, Timing, measure
from projects.benchmark.core import assigning, priors_of
from projects.benchmark.report import Report
from projects.benchmark.rotated_peers import PeerTools, run_devkit, run_mmcv, run_mmrotate
from projects.benchmark.rotated_scene import (
    CLASSES,
    OVERLAP_PX,
    PATCH_PX,
    RotatedSizes,
    crowded,
    detections_and_truths,
    patch_detections,
    random_rboxes,
    write_sources,
)
from projects.benchmark.scene import Settings, random_batch

IOU_THRESHOLD = 0.1
# Loops over pairs take minutes for the whole matrix: they get this many of its rows; their time is scaled.
SLOW_ROWS = 20


@dataclass
class Contest:
    """One task, and how long it took whom.

    Attributes:
        task: with its sizes.
        ours: jld's times.
        others: {name: times}.
        facts: what was found on the way.
    """

    task: str
    ours: Timing
    others: dict[str, Timing] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    def rows(self) -> list[tuple]:
        """One row per competitor."""
        ours = self.ours
        return [
            (self.task, ours, name, peer, peer.median / ours.median, peer.cpu_median / ours.cpu_median)
            for name, peer in self.others.items()
        ]


def benchmark_rotated(
    settings: Settings, tools: PeerTools | None = None, sizes: RotatedSizes | None = None
) -> Report:
    """Overlaps, suppression, splitting, merging and evaluation, each beside its competitors in the same run.

    Args:
        settings: repetitions of jld's own part; competitors run once, they are slow.
        tools: where mmcv, mmRotate and the DOTA development kit are; the plain loops always compete.
        sizes: of the tasks.
    """
    tools, sizes = tools or PeerTools(), sizes or RotatedSizes()
    contests = [
        contest(settings, tools, sizes)
        for contest in (_overlaps, _assignment, _suppression, _splitting, _merging, _evaluation)
    ]
    columns = (
        "", "jld " + TIMING_COLUMNS[0], *TIMING_COLUMNS[1:], "beside", *TIMING_COLUMNS, "times as long",
        "in CPU time",
    )  # fmt: skip
    facts = {name: value for contest in contests for name, value in contest.facts.items()}
    rows = [row for contest in contests for row in contest.rows()]
    title = f"rotated boxes and DOTA data, {settings.steps} runs of jld after {settings.warmup}"
    return Report(title, columns, rows, facts)


def _once(function: Callable[[], Any]) -> tuple[Any, Timing]:
    results: list[Any] = []
    timing = measure(lambda: results.append(function()), 1, 0)
    return results[0], timing


def _scaled(timing: Timing, factor: float) -> Timing:
    return Timing(
        tuple(value * factor for value in timing.milliseconds),
        tuple(value * factor for value in timing.cpu_milliseconds),
    )


def _overlaps(settings: Settings, tools: PeerTools, sizes: RotatedSizes) -> Contest:
    rng = np.random.default_rng(0)
    gts, anchors = random_rboxes(rng, sizes.gts, 1024), random_rboxes(rng, sizes.anchors, 1024)
    first, second = jt.array(gts), jt.array(anchors)
    ours = measure(lambda: pairwise_rotated_iou(first, second), settings.steps, settings.warmup)
    rows = gts[:SLOW_ROWS]
    share = sizes.gts / len(rows)
    expected, timing = _once(lambda: plain.pairwise_iou(rows, anchors))
    got = pairwise_rotated_iou(jt.array(rows), second).numpy()
    contest = Contest(f"IoU of {sizes.gts} x {sizes.anchors}", ours, {"plain loops": _scaled(timing, share)})
    contest.facts["IoU: largest difference from plain loops"] = float(np.abs(got - expected).max())
    contest.facts["IoU: rows that competitors computed, times scaled"] = len(rows)
    for name, peer in run_mmcv(tools, "iou", first=rows, second=anchors).items():
        contest.others[name] = _scaled(peer, share)
    return contest


def _assignment(settings: Settings, tools: PeerTools, sizes: RotatedSizes) -> Contest:
    side = sizes.assigned_px
    scene = replace(settings, detector="rotated", height=side, width=side, batch=1, boxes=sizes.assigned)
    targets = Targets.from_batch(random_batch(scene))
    generator = RotatedAnchorGenerator()
    priors = priors_of(generator, side, side)
    assigner = build({"type": "MaxIoUAssigner", "overlaps": {"type": "RotatedOverlap", "upright": False}})
    assign = assigning(assigner, priors, targets, settings.num_classes)
    ours = measure(assign, settings.steps, settings.warmup)
    rows = targets.boxes.numpy()[0, : min(SLOW_ROWS, sizes.assigned)]
    _, timing = _once(lambda: plain.pairwise_iou(rows, priors.boxes.numpy()[0]))
    task = f"max-IoU assignment of {sizes.assigned} x {len(priors)}"
    return Contest(task, ours, {"plain loops": _scaled(timing, sizes.assigned / len(rows))})


def _suppression(settings: Settings, tools: PeerTools, sizes: RotatedSizes) -> Contest:
    rng = np.random.default_rng(0)
    _, boxes = crowded(rng, random_rboxes(rng, max(1, sizes.nms_boxes // 20), 2000), sizes.nms_boxes)
    scores = rng.permutation(sizes.nms_boxes).astype(np.float32) / sizes.nms_boxes
    ours = measure(lambda: rotated_nms(boxes, scores, IOU_THRESHOLD), settings.steps, settings.warmup)
    kept, timing = _once(lambda: plain.suppress(rboxes_to_polys(boxes), scores, IOU_THRESHOLD))
    contest = Contest(f"NMS of {sizes.nms_boxes} boxes", ours, {"plain loops": timing})
    got = rotated_nms(boxes, scores, IOU_THRESHOLD)
    contest.facts["NMS: boxes kept by jld, by plain loops"] = f"{len(got)}, {len(kept)}"
    contest.others |= run_mmcv(tools, "nms", boxes=boxes, scores=scores, threshold=np.float32(IOU_THRESHOLD))
    return contest


def _splitting(settings: Settings, tools: PeerTools, sizes: RotatedSizes) -> Contest:
    with tempfile.TemporaryDirectory() as folder:
        source, runs = Path(folder) / "source", iter(range(10**6))
        write_sources(source, sizes)
        sources = find_images([source])
        cut = SplitSettings(PATCH_PX, OVERLAP_PX, style="mmrotate")

        def split() -> Path:
            target = Path(folder) / f"jld{next(runs)}"
            split_dataset(sources, target, cut, classes=CLASSES)
            return target

        ours = measure(split, settings.steps, settings.warmup)
        target = split()
        num_plain, timing = _once(lambda: plain.split(source, Path(folder) / "plain", PATCH_PX, OVERLAP_PX))
        task = f"splitting {sizes.images} x {sizes.image_px} px, {sizes.objects} objects each"
        contest = Contest(task, ours, {"plain loops": timing})
        count, encoding = _encoding_time(target / "images")
        contest.facts["splitting: patches of jld, of plain loops"] = f"{count}, {num_plain}"
        contest.facts["splitting: PNG encoding alone, CPU ms"] = encoding.cpu_median
        contest.others |= run_mmrotate(tools, source, Path(folder) / "mmrotate", PATCH_PX, OVERLAP_PX)
    return contest


def _encoding_time(folder: Path) -> tuple[int, Timing]:
    """How many patches there are, and the part of the work that no splitter can avoid."""
    import cv2

    patches = [cv2.imread(str(file)) for file in folder.iterdir()]
    _, timing = _once(lambda: [cv2.imencode(".png", patch) for patch in patches])
    return len(patches), timing


def _merging(settings: Settings, tools: PeerTools, sizes: RotatedSizes) -> Contest:
    records, names = patch_detections(sizes)
    with tempfile.TemporaryDirectory() as folder:

        def merge() -> list[Detections]:
            merged = merge_patches(records, CLASSES, iou_threshold=IOU_THRESHOLD, image_ids=names)
            write_submission(Path(folder) / "result.zip", merged, CLASSES)
            return merged

        ours = measure(merge, settings.steps, settings.warmup)
        merged = merge()
        expected, timing = _once(lambda: plain.merge(records, len(CLASSES), IOU_THRESHOLD))
        count = sum(map(len, records))
        contest = Contest(f"merging {count} patch detections", ours, {"plain loops": timing})
        kept = sum(map(len, merged)), sum(map(len, expected.values()))
        contest.facts["merging: kept by jld, by plain loops"] = f"{kept[0]}, {kept[1]}"
        contest.others |= run_devkit(tools, "merge", Path(folder), records)
    return contest


def _evaluation(settings: Settings, tools: PeerTools, sizes: RotatedSizes) -> Contest:
    found, truths = detections_and_truths(sizes)
    metrics: list[Mapping[str, Any]] = []
    ours = measure(
        lambda: metrics.append(DotaEvaluator()(found, truths, CLASSES)), settings.steps, settings.warmup
    )
    expected, timing = _once(lambda: plain.evaluate(found, truths, len(CLASSES), 0.5))
    count = sum(map(len, found))
    contest = Contest(f"evaluating {count} detections", ours, {"plain loops": timing})
    contest.facts["evaluating: AP50 of jld, of plain loops"] = f"{metrics[0]['AP50']:.6f}, {expected:.6f}"
    contest.facts["evaluating: thresholds of jld, of the others"] = f"{len(DotaEvaluator().thresholds)}, 1"
    with tempfile.TemporaryDirectory() as folder:
        contest.others |= run_devkit(tools, "evaluate", Path(folder), found, truths)
    return contest
