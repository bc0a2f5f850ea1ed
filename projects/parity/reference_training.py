"""The reference's side of the training comparison: the recorded batches through HikariTJU/LD.

Started by run.py, in an environment of its own if need be: needs torch, mmcv and the reference, not Jittor.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "golden")]

from projects.parity.cases import TEST_CFG, TRAIN_CFG, gfl_section
from projects.parity.reference import image_inputs, import_reference, total_of, why_missing

# Exit status that says: not wrong, but not possible on this machine.
NOT_HERE = 3
STUDENT_WIDTHS = [64, 128, 256, 512]
# Two float32 implementations differ by about this much in the maps they predict.
ROUNDING = 1e-6
KL = "KnowledgeDistillationKLDivLoss"


def build_student(work_dir: Path, num_classes: int):
    """The reference's distilling detector with the weights of both files in `work_dir`."""
    from mmcv import ConfigDict
    from mmcv.runner import load_checkpoint
    from mmdet.models import build_detector

    student, teacher = (
        gfl_section({"type": "ResNet", "depth": depth}, widths=STUDENT_WIDTHS, num_classes=num_classes)
        for depth in (18, 34)
    )
    distilling = {
        **student,
        "type": "KnowledgeDistillationSingleStageDetector",
        "output_feature": True,
        "teacher_ckpt": str(work_dir / "teacher.pth"),
        "teacher_config": {"model": {**teacher, "train_cfg": TRAIN_CFG, "test_cfg": TEST_CFG}},
    }
    distilling["bbox_head"] = {
        **student["bbox_head"],
        "type": "LDHead",
        "loss_ld": {"type": KL, "loss_weight": 0.25, "T": 10},
        "loss_ld_vlr": {"type": KL, "loss_weight": 0.25, "T": 10},
        "loss_kd": {"type": KL, "loss_weight": 10, "T": 2},
        # Imitation has weight 0, but its region is computed, and that of the default needs a GPU.
        "imitation_method": "finegrained",
    }
    model = build_detector(ConfigDict(distilling), ConfigDict(TRAIN_CFG), ConfigDict(TEST_CFG))
    load_checkpoint(model, str(work_dir / "student.pth"), map_location="cpu", strict=True)
    model.train()
    return model


def learning_rate(settings: dict, step: int) -> float:
    """The rate of mmcv's step schedule with linear warm-up, by iteration."""
    schedule = settings["scheduler"]
    lr = settings["optimizer"]["lr"] * schedule["gamma"] ** sum(step >= m for m in schedule["milestones"])
    if step < schedule["warmup_iters"]:
        lr *= 1 - (1 - step / schedule["warmup_iters"]) * (1 - schedule["warmup_ratio"])
    return lr


def train(work_dir: Path, noise: float) -> tuple[list[dict[str, float]], dict]:
    """(a record of losses per step, the final weights); `noise` is what is done to each pixel, relative."""
    import torch

    settings = json.loads((work_dir / "settings.json").read_text(encoding="utf-8"))
    model = build_student(work_dir, settings["num_classes"])
    options = {key: settings["optimizer"][key] for key in ("lr", "momentum", "weight_decay")}
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(learning, **options)
    records = []
    for step, name in enumerate(settings["batches"]):
        arrays = dict(np.load(work_dir / name))
        images = torch.from_numpy(arrays["images"])
        images *= 1 + noise * torch.randn(images.shape, generator=torch.Generator().manual_seed(step))
        boxes, labels, metas = image_inputs(arrays, len(images))
        losses = model.forward_train(images, metas, boxes, labels)
        total = total_of(losses)
        optimizer.zero_grad()
        total.backward()
        clip = settings["optimizer"]["grad_clip"]
        torch.nn.utils.clip_grad_norm_(learning, clip["max_norm"], clip["norm_type"])
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(settings, step)
        optimizer.step()
        terms = {term: float(sum(value.mean() for value in levels)) for term, levels in losses.items()}
        records.append({"iter": step + 1, "total_loss": total.item(), **terms})
        print(f"reference side, step {step + 1}: loss {total.item():.6f}", flush=True)
    return records, model.state_dict()


def main() -> int:
    """Trains as it is and with pixels a millionth off, and writes both; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work_dir", help="where run.py has put batches and weights")
    parser.add_argument("--reference", metavar="FOLDER", help="a checkout of HikariTJU/LD")
    options = parser.parse_args()
    reason = why_missing(options.reference)
    if reason:
        print(f"Reference side skipped: {reason}.")
        return NOT_HERE
    import_reference(options.reference)
    import torch

    work_dir = Path(options.work_dir)
    for name, noise in (("reference", 0.0), ("control", ROUNDING)):
        records, weights = train(work_dir, noise)
        (work_dir / f"{name}.json").write_text(json.dumps(records, indent=1), encoding="utf-8")
        torch.save({"state_dict": weights}, work_dir / f"{name}_weights.pth")
    return 0


if __name__ == "__main__":
    sys.exit(main())
