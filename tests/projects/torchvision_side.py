"""Torchvision's Mask R-CNN for test_torch_peer.py, run as a program: python torchvision_side.py FOLDER

Writes its weights, a picture, and what it finds there.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone


def main(folder):
    torch.manual_seed(0)
    torch.set_num_threads(1)
    # 96 px are 3 cells of the coarsest map of the backbone, and 2 of the map behind it.
    detector = MaskRCNN(
        resnet_fpn_backbone(backbone_name="resnet18", weights=None), num_classes=4, min_size=96, max_size=160
    ).eval()
    with torch.no_grad():
        for name, values in detector.named_parameters():
            if name.endswith(("cls_score.weight", "box_predictor.bbox_pred.weight")):
                values *= 4
        # The masks of the class that is found are full, those of the others empty.
        logits = detector.roi_heads.mask_predictor.mask_fcn_logits
        logits.weight *= 0.01
        logits.bias += torch.tensor([-5.0, -5.0, -5.0, 5.0])
    picture = np.random.default_rng(0).integers(0, 256, (12, 20, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    Image.fromarray(picture).save(folder / "picture.png")
    torch.save(detector.state_dict(), folder / "maskrcnn.pth")
    with torch.no_grad():
        (found,) = detector([torch.from_numpy(picture).permute(2, 0, 1) / 255])
    arrays = {name: found[name].numpy() for name in ("boxes", "scores", "labels")}
    np.savez(folder / "found.npz", **arrays, masks=found["masks"][:, 0].numpy() >= 0.5)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
