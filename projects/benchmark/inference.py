"""Detection on single images: jld and, where it is, PyTorch."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np

from jld.toolchain import jittor as jt
from projects.benchmark.alternate import alternate, on_busy_cores, side_by_side, slow_down
from projects.benchmark.clock import device_memory_mib, loaded_kernels, peak_memory_mib
from projects.benchmark.networks import measuring
from projects.benchmark.peer import NO_PEER, Duel, open_peer, peer_facts
from projects.benchmark.report import Report
from projects.benchmark.scene import TITLES, Settings, make_student, random_batch

CANDIDATES = 1000
"""(box, class) pairs per image that reach suppression; random weights would leave none above 0.05."""


def benchmark_inference(settings: Settings, duel: Duel = NO_PEER) -> Report:
    """Detection with the student, one image at a time, from the array to detections in original px.

    Args:
        settings: sizes; the batch is one image.
        duel: with whom, and whether busy cores are measured too. The peer has the same weights and image.
    """
    settings = replace(settings, batch=1)
    batch = random_batch(settings)
    began = time.time()
    detector = make_student(settings)
    detector.eval()

    def network() -> Any:
        with jt.no_grad():
            return detector(jt.array(batch["images"])).predictions

    def detect() -> Any:
        with jt.no_grad():
            return detector.detect(detector(jt.array(batch["images"])), batch)

    threshold, candidates = _let_through(detector, network()["cls_logits"])
    start = time.perf_counter()
    found = detect()
    facts: dict[str, Any] = {
        "candidates": candidates,
        "detections kept": len(found[0]["scores"]),
        "first image after the network, s": time.perf_counter() - start,
        "kernels used": loaded_kernels(),
        "of them compiled now": loaded_kernels(since=began),
        "peak memory, MiB": peak_memory_mib(),
    } | device_memory_mib()
    tasks = {"image": measuring("image", detect), "network": measuring("network", network)}
    labels = {"image": "image", "network": "  of it network"}
    with open_peer(settings, duel, detector, None, batch) as peer:
        if peer is not None:
            facts["detections kept by torch"] = peer.ask("detections", score_threshold=threshold)["count"]
        ours, theirs = alternate(tasks, peer, settings)
        if duel.shared:
            row, *busy = on_busy_cores("image", tasks["image"], peer, settings)
            ours, theirs, labels = ours | busy[0], theirs | busy[1], labels | {row: row}
            facts |= slow_down("image", row, ours, theirs)
        facts |= peer_facts(duel, peer)
        if peer is not None:
            facts |= peer.memory()
    facts = {"images per second": 1e3 / ours["image"].median} | facts
    model = f"{TITLES[settings.detector]} R-{settings.student_depth}"
    title = f"inference: {model}, {settings.size()}, {settings.num_classes} classes"
    return Report(title, **side_by_side(ours, theirs, labels), facts=facts)


def _let_through(detector: Any, cls_logits: Any) -> tuple[float, int]:
    """Sets the score threshold so that `CANDIDATES` pass; the threshold and their number."""
    scores = np.sort(jt.sigmoid(cls_logits).numpy().ravel())
    count = min(CANDIDATES, len(scores) // 2)
    threshold, head = float(scores[-count]), detector.bbox_head
    head.postprocess = replace(head.postprocess, score_threshold=threshold)
    return threshold, count
