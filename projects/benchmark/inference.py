"""Detection on single images: jld and, where it is, PyTorch."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np

from jld.models.operations import count_operations
from jld.toolchain import jittor as jt
from projects.benchmark.alternate import JLD, add_busy_row, alternate, side_by_side
from projects.benchmark.clock import device_memory_mib, loaded_kernels, peak_memory_mib
from projects.benchmark.core import predict, set_detection
from projects.benchmark.networks import measuring
from projects.benchmark.peak import peak_facts
from projects.benchmark.peer import NO_PEER, Duel, open_peers, peer_facts
from projects.benchmark.report import Report
from projects.benchmark.scene import TITLES, Settings, make_student, random_batch

CANDIDATES = 1000
"""(box, class) pairs per image that reach suppression; random weights would leave none above 0.05."""
COUNTED = "convolutions as they are defined (Winograd's need fewer), forward"


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
            return predict(detector, jt.array(batch["images"]))

    def detect() -> Any:
        with jt.no_grad():
            return detector.detect(detector(jt.array(batch["images"])), batch)

    threshold, candidates = _let_through(detector, network()[0])
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
    with open_peers(settings, duel, detector, None, batch) as peers:
        for side, peer in peers.items():
            kept = peer.ask("detections", score_threshold=threshold)
            facts |= {f"detections kept by {side}": kept.get("count")}
        sides = alternate(tasks, peers, settings)
        if duel.shared:
            row, slower = add_busy_row(sides, "image", tasks["image"], peers, settings)
            labels[row] = row
            facts |= slower
        operations = count_operations(network).forward
        facts |= peer_facts(duel, peers) | peak_facts("image", operations, COUNTED, sides, peers)
    facts = {"images per second": 1e3 / sides[JLD]["image"].median} | facts
    model = f"{TITLES[settings.detector]} R-{settings.student_depth}"
    title = f"inference: {model}, {settings.size()}, {settings.num_classes} classes"
    return Report(title, **side_by_side(sides, labels), facts=facts)


def _let_through(detector: Any, cls_logits: Any) -> tuple[float, int]:
    """Sets the score threshold so that `CANDIDATES` pass; the threshold and their number."""
    scores = np.sort(jt.sigmoid(cls_logits).numpy().ravel())
    count = min(CANDIDATES, len(scores) // 2)
    threshold = float(scores[-count])
    set_detection(detector, score_threshold=threshold)
    return threshold, count
