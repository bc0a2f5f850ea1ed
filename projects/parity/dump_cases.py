"""Writes golden cases (tests/golden/README.md) of GFL with deeper backbones, from the reference package.

Needs torch, torchvision, mmcv 1.x and a checkout of HikariTJU/LD; see README.md beside this file.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "golden")]

import golden_fill as fill

from projects.parity.cases import CASES, FEW_CFG, GRADIENTS, TEST_CFG, TRAIN_CFG, Case
from projects.parity.reference import (
    build_reference,
    image_inputs,
    import_reference,
    total_of,
    versions,
    why_missing,
)

NUM_SAMPLES = 64
JITTERS, JITTER_PX = 16, 2e-4  # moves overlaps of boxes of this size by about 1e-5


def dump(case: Case) -> tuple[dict, dict[str, np.ndarray]]:
    """(meta, arrays) of a case."""
    import torch

    meta = {
        "case": case.name,
        "model": case.model(),
        "train_cfg": TRAIN_CFG,
        "test_cfg": TEST_CFG,
        "det_pre60_cfg": FEW_CFG,
        "sampled": {},
        "versions": versions(),
    }
    shape = [len(case.image_shapes), 3, *case.batch_shape]
    spec = {"kind": "normal", "key": f"{case.name}:img", "shape": shape, "scale": 1.0, "shift": 0.0}
    meta["generated"] = {"img": spec}
    model = build_reference(meta, "model", salt=f"{case.name}:student")
    arrays = inputs_of(case) | checksums(meta)
    images = torch.from_numpy(fill.generate(spec)).requires_grad_()
    writer = _Sampler(meta, arrays)

    with torch.no_grad():
        stages = model.backbone(images)
        features = model.neck(stages)
        outputs = model.bbox_head(features)
    for name, maps in (("backbone", stages), ("fpn", features)):
        for level, values in enumerate(maps):
            writer.sample(f"out/{name}/{level}", values)
    for name, maps in zip(("cls_score", "bbox_pred"), outputs, strict=True):
        for level, values in enumerate(maps):
            arrays[f"out/{name}/{level}"] = values.numpy()
    arrays.update(targets_of(model, outputs, arrays, len(images)))
    arrays.update(detections_of(model, outputs, arrays, len(images)))
    losses_and_gradients(model, images, writer)
    return meta, arrays


def inputs_of(case: Case) -> dict[str, np.ndarray]:
    """The stored inputs: boxes, labels and sizes per image."""
    arrays = {}
    shapes = zip(case.boxes, case.image_shapes, case.pad_shapes, strict=True)
    for i, (boxes, image_shape, pad_shape) in enumerate(shapes):
        rows = np.asarray(boxes, np.float32).reshape(-1, 5)
        arrays[f"in/gt_bboxes/{i}"] = rows[:, :4]
        arrays[f"in/gt_labels/{i}"] = rows[:, 4].astype(np.int64)
        arrays[f"in/img_shape/{i}"] = np.array([*image_shape, 3])
        arrays[f"in/pad_shape/{i}"] = np.array([*pad_shape, 3])
        arrays[f"in/scale_factor/{i}"] = np.array([0.5, 0.4, 0.5, 0.4], np.float32)
    return arrays


def checksums(meta: dict) -> dict[str, np.ndarray]:
    """Sums that tell a reader whether his own generation is the same."""
    parameters = meta["params"]["model"]
    sums = []
    for name in sorted(parameters["shapes"]):
        values = fill.param(name, parameters["shapes"][name], parameters["salt"])
        sums.append(0.0 if values is None else fill.checksum(values)[1])
    image = fill.checksum(fill.generate(meta["generated"]["img"]))
    return {"chk/params/model": np.array(sums), "chk/img": image}


class _Sampler:
    """Stores the norm and some entries of large tensors."""

    def __init__(self, meta: dict, arrays: dict[str, np.ndarray]):
        self.meta, self.arrays = meta, arrays

    def sample(self, key: str, values) -> None:
        flat = values.detach().numpy().ravel()
        self.meta["sampled"][key] = {"shape": list(values.shape), "k": NUM_SAMPLES}
        self.arrays[f"{key}/norm"] = np.linalg.norm(flat.astype(np.float64))
        self.arrays[f"{key}/sample"] = flat[fill.sample_index(flat.size, NUM_SAMPLES)]


def assign(model, sizes: list, arrays: dict, count: int, move=0.0) -> tuple:
    """What the head's target function returns; `move` [N, 4] is added to every image's boxes."""
    boxes, labels, metas = image_inputs(arrays, count)
    anchors, valid = model.bbox_head.get_anchors(sizes, metas, device="cpu")
    boxes = [rows + move for rows in boxes]
    return model.bbox_head.get_targets(
        anchors, valid, boxes, metas, gt_bboxes_ignore_list=None, gt_labels_list=labels
    )


def targets_of(model, outputs: tuple, arrays: dict, count: int) -> dict[str, np.ndarray]:
    """Anchors, targets, and the anchors whose label hangs by a hair."""
    import torch

    sizes = [values.shape[-2:] for values in outputs[0]]
    found = assign(model, sizes, arrays, count)
    # The target function joins its lists of anchors in place, so they are made again.
    anchors, valid = model.bbox_head.get_anchors(sizes, image_inputs(arrays, count)[2], device="cpu")
    _, labels, label_weights, box_targets, box_weights, num_pos, num_neg = found
    labels = torch.cat(labels, 1)
    rng = np.random.RandomState(0)
    fragile = torch.zeros_like(labels, dtype=torch.bool)
    for _ in range(JITTERS):
        move = torch.from_numpy(rng.uniform(-JITTER_PX, JITTER_PX, (1, 4)).astype(np.float32))
        fragile |= torch.cat(assign(model, sizes, arrays, count, move)[1], 1) != labels
    return {
        "out/tgt/anchors": torch.cat(list(anchors[0])).numpy(),
        "out/tgt/valid": torch.stack([torch.cat(list(flags)) for flags in valid]).numpy(),
        "out/tgt/labels": labels.numpy(),
        "out/tgt/label_weights": torch.cat(label_weights, 1).numpy(),
        "out/tgt/bbox_targets": torch.cat(box_targets, 1).numpy(),
        "out/tgt/bbox_weights": torch.cat(box_weights, 1).amax(-1).numpy(),
        "out/tgt/num_total_pos": np.int64(num_pos),
        "out/tgt/num_total_neg": np.int64(num_neg),
        "out/tgt/fragile": fragile.numpy(),
    }


def detections_of(model, outputs: tuple, arrays: dict, count: int) -> dict[str, np.ndarray]:
    """Candidates before and boxes after NMS, in network and in original pixels."""
    from mmcv import ConfigDict

    metas = image_inputs(arrays, count)[2]
    head, found = model.bbox_head, {}
    candidates = head.get_bboxes(*outputs, metas, cfg=ConfigDict(TEST_CFG), with_nms=False)
    wanted = {"pre_nms": candidates}
    for key, config, rescale in (
        ("det", TEST_CFG, False),
        ("det_rescale", TEST_CFG, True),
        ("det_pre60", FEW_CFG, False),
    ):
        wanted[key] = head.get_bboxes(*outputs, metas, cfg=ConfigDict(config), rescale=rescale)
    for key, images in wanted.items():
        for i, (boxes, labels) in enumerate(images):
            found[f"out/{key}/boxes/{i}"], found[f"out/{key}/labels/{i}"] = boxes.numpy(), labels.numpy()
    return found


def losses_and_gradients(model, images, writer: _Sampler) -> None:
    """Loss terms per level, norms of all gradients, entries of some."""
    boxes, labels, metas = image_inputs(writer.arrays, len(images))
    losses = model.forward_train(images, metas, boxes, labels)
    total = total_of(losses)
    total.backward()
    for name, levels in losses.items():
        writer.arrays[f"loss/{name}"] = np.array([value.mean().item() for value in levels], np.float32)
    writer.arrays["loss/total"] = np.float32(total.item())
    gradients = {name: p.grad for name, p in sorted(model.named_parameters()) if p.grad is not None}
    writer.meta["grad_names"] = list(gradients)
    writer.arrays["grad_norms"] = np.array(
        [np.linalg.norm(values.numpy().ravel().astype(np.float64)) for values in gradients.values()]
    )
    for name in GRADIENTS:
        if name in gradients:
            writer.sample(f"grad/{name}", gradients[name])


def main() -> int:
    """Writes the cases; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reference", metavar="FOLDER", required=True, help="a checkout of HikariTJU/LD")
    parser.add_argument("--out", metavar="FOLDER", default=str(ROOT / "tests" / "golden"))
    parser.add_argument("--only", nargs="+", metavar="NAME", help="names of cases; default: all")
    options = parser.parse_args()
    reason = why_missing(options.reference)
    if reason:
        print(reason, file=sys.stderr)
        return 1
    import_reference(options.reference)
    for case in CASES:
        if options.only and case.name not in options.only:
            continue
        meta, arrays = dump(case)
        path = Path(options.out) / f"{case.name}.npz"
        np.savez_compressed(path, meta=np.array(json.dumps(meta, sort_keys=True)), **arrays)
        fragile, positive = arrays["out/tgt/fragile"].sum(), arrays["out/tgt/num_total_pos"]
        print(f"{path.name}: {path.stat().st_size} bytes, {positive} positives, {fragile} fragile anchors")
    return 0


if __name__ == "__main__":
    sys.exit(main())
