"""The PyTorch side of test_torch_peer.py, run as a program: python torch_side.py IN.json OUT.npz

Does what the benchmark's peer does, once, and writes every value down.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch_peer import detection
from torch_peer.assignment import assign, valuable_region
from torch_peer.scene import read_scene
from torch_peer.tasks import Training


def main(given_file, out_file):
    given = json.loads(Path(given_file).read_text())
    torch.set_num_threads(1)
    scene = read_scene(given)
    training, found = Training(scene), {}
    training.optimizer.param_groups[0]["lr"] = given["lr"]
    losses = training.losses()
    found |= {f"loss/{name}": value.item() for name, value in losses.items()}
    sum(losses.values()).backward()
    trained = {name: p for name, p in scene.student.named_parameters() if p.requires_grad}
    found |= {f"gradient/{name}": parameter.grad.numpy() for name, parameter in trained.items()}
    targets, priors = scene.targets(), scene.priors()
    assignment = assign(priors, targets)
    found["positive"] = assignment.positive.numpy()
    found["gt_index"] = assignment.gt_index.numpy()
    found["region"] = valuable_region(priors, targets, assignment).numpy()
    found |= detect(scene, given["score_threshold"])
    for _ in range(given["steps"]):
        training.step()
    found |= {f"weight/{name}": parameter.detach().numpy().copy() for name, parameter in trained.items()}
    training.plain_step()
    np.savez(out_file, **found)


def detect(scene, score_threshold):
    """Detections with suppression in one look, in several, by a loop over the boxes, and as the peer does."""
    with torch.no_grad():
        outputs = scene.student(scene.images_on_device())
    shapes, factors = (torch.from_numpy(scene.batch[key]) for key in ("img_shapes", "scale_factors"))
    selection = replace(detection.Selection(score_threshold), nms_pre=100, max_per_image=50)
    found = {}
    for way, first_look, function in (
        ("one look", 10**6, detection.suppress),
        ("several looks", 1, detection.suppress),
        ("loop", 1, loop_suppress),
        ("found", detection.FIRST_LOOK, detection.find_suppression()[1]),
    ):
        detection.FIRST_LOOK = first_look
        images = detection.detections(outputs, scene.priors(), shapes, factors, selection, function)
        for index, image in enumerate(images):
            for name, value in zip(("boxes", "scores", "labels"), image, strict=True):
                found[f"{way}/{index}/{name}"] = value.numpy()
    return found


def loop_suppress(boxes, scores, labels, iou_threshold, most):
    kept = []
    for index in scores.argsort(descending=True).tolist():
        rivals = [other for other in kept if labels[other] == labels[index]]
        iou = detection.overlaps(boxes[index], boxes[rivals])[1]
        if not (iou > iou_threshold).any():
            kept.append(index)
    return torch.tensor(kept[:most], dtype=torch.int64)


if __name__ == "__main__":
    main(*sys.argv[1:])
