"""Boxes in pictures with ONNX Runtime, NumPy and OpenCV alone: python detect.py student.onnx street.jpg

The file is one that tools/export.py wrote; everything this program must know stands in its metadata. Copy
this program to where the file runs: it imports nothing of jld.
"""

from __future__ import annotations

import argparse
import json
import sys

import cv2
import numpy as np
import onnxruntime


class OnnxDetector:
    """A detector in a file.

    Args:
        path: of the file.
        threads: 0: as many as the runtime wants.
    """

    def __init__(self, path: str, threads: int = 0):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(path, options)
        self.about = json.loads(self.session.get_modelmeta().custom_metadata_map["jld"])
        self.classes = self.about["classes"]

    def __call__(self, image: np.ndarray, score_threshold: float | None = None) -> tuple[np.ndarray, ...]:
        """Boxes, scores [K] and labels [K] in an image, scores falling, and masks where the file has them.

        Args:
            image: uint8 [H, W, 3] BGR.
            score_threshold: instead of the one in the file.
        Returns:
            boxes [K, 4] corners x1, y1, x2, y2, or [K, 5] centre, width, height and angle in radians,
            clockwise; px of the image. Masks are bool [K, H, W].
        """
        resized = cv2.resize(image, self._size(*image.shape[:2]), interpolation=cv2.INTER_LINEAR)
        factors = np.float32(resized.shape[1::-1]) / np.float32(image.shape[1::-1])
        given = {"image": self._input(resized)}
        if score_threshold is not None:
            given["score_threshold"] = np.array(score_threshold, np.float32)
        found = dict(zip(("boxes", "scores", "labels", "masks"), self.session.run(None, given), strict=False))
        boxes, scores = found["boxes"], found["scores"]
        boxes[:, :4] /= np.tile(factors, 2)
        if "masks" in found:
            pairs = zip(found["masks"], boxes, strict=True)
            masks = np.array([pasted(*pair, image.shape[:2]) for pair in pairs], bool)
            masks = masks.reshape(-1, *image.shape[:2])
            return self._inside(boxes, scores, found["labels"], image.shape, masks)
        if "labels" in found:
            return self._inside(boxes, scores, found["labels"], image.shape)
        rows, labels = np.nonzero(scores)
        return self._inside(*self._suppressed(boxes[rows], scores[rows, labels], labels), image.shape)

    def _size(self, height: int, width: int) -> tuple[int, int]:
        """(width, height) in px that the network wants an image in."""
        rule = self.about.get("resize")
        if self.about["size"]:
            factor = min(self.about["size"][0] / height, self.about["size"][1] / width)
        elif rule is None:
            return width, height
        elif not rule["keep_ratio"]:
            return rule["long_side"], rule["short_side"]
        else:
            low, high = sorted((height, width))
            short, long = rule["short_side"], rule["long_side"]
            if rule["max_zoom"]:  # JDet's rule, and its rounding
                zoom = rule["max_zoom"]
                short = min(max(short, int(low / zoom)), int(low * zoom))
                short = round(long * low / high) if high / low * short > long else short
                other = int(short * high / low)
                return (other, short) if height <= width else (short, other)
            factor = min(short / low, long / high)
        return max(int(width * factor + 0.5), 1), max(int(height * factor + 0.5), 1)

    def _input(self, image: np.ndarray) -> np.ndarray:
        mean, std = np.float32(self.about["mean"]), np.float32(self.about["std"])
        if self.about[
            "size"
        ]:  # the rest of a fixed size is filled with the mean colour, a zero for the network
            height, width = self.about["size"]
            filled = np.empty((height, width, 3), np.uint8)
            filled[:] = np.round(mean[::-1] if self.about["is_rgb"] else mean)
            filled[: image.shape[0], : image.shape[1]] = image
            image = filled
        if self.about["input"].startswith("uint8"):
            return image
        image = image[..., ::-1] if self.about["is_rgb"] else image
        return ((image.astype(np.float32) - mean) / std).transpose(2, 0, 1)[None]

    def _suppressed(
        self, boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        kept: list[int] = []
        for label in np.unique(labels):
            rows = np.flatnonzero(labels == label)
            kept += rows[self._kept(boxes[rows], scores[rows])].tolist()
        best = sorted(kept, key=lambda row: -scores[row])[: self.about["max_per_image"] or None]
        return boxes[best], scores[best], labels[best]

    def _kept(self, boxes: np.ndarray, scores: np.ndarray) -> list[int]:
        """Rows of one class that greedy suppression keeps."""
        if boxes.shape[1] == 4:
            corner_and_size = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
            return list(
                cv2.dnn.NMSBoxes(corner_and_size.tolist(), scores.tolist(), 0.0, self.about["iou_threshold"])
            )
        turned = [((x, y), (w, h), np.degrees(angle)) for x, y, w, h, angle in boxes.tolist()]
        return list(cv2.dnn.NMSBoxesRotated(turned, scores.tolist(), 0.0, self.about["iou_threshold"]))

    def _inside(
        self,
        boxes: np.ndarray,
        scores: np.ndarray,
        labels: np.ndarray,
        shape: tuple[int, ...],
        *masks: np.ndarray,
    ) -> tuple[np.ndarray, ...]:
        """Corners within the image; what a fixed size shows beyond it is no part of it."""
        if boxes.shape[1] == 5:
            return boxes, scores, labels
        boxes = np.clip(boxes, 0, np.float32([shape[1], shape[0]] * 2))
        kept = np.ones(len(boxes), bool)
        if self.about["clip_at_end"] or self.about["size"]:
            kept = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        return boxes[kept], scores[kept], labels[kept], *(each[kept] for each in masks)

    def name(self, label: int) -> str:
        """Of a class."""
        return self.classes[label] if self.classes else str(label)


def pasted(probs: np.ndarray, box: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Where, bool [H, W], the mask of a box, stretched to it, has at least half the probability.

    Args:
        probs: [S, S] in 0..1, in the frame of the box.
        box: x1, y1, x2, y2 px.
        size: H, W px.
    """
    shares = []  # [H, S] and [W, S]: what each pixel of the mask gives to each of the image
    for low, high, count, side in (
        (box[1], box[3], len(probs), size[0]),
        (box[0], box[2], probs.shape[1], size[1]),
    ):
        if not high > low:
            return np.zeros(size, bool)
        places = (np.arange(side, dtype=np.float32) + 0.5 - low) / (high - low) * count - 0.5
        shares.append(np.maximum(1 - np.abs(places[:, None] - np.arange(count, dtype=np.float32)), 0))
    return shares[0] @ probs @ shares[1].T >= 0.5


def corners(box: np.ndarray) -> np.ndarray:
    """int32 [4, 2] the corners of a box of either kind."""
    if len(box) == 5:
        points = cv2.boxPoints(((box[0], box[1]), (box[2], box[3]), float(np.degrees(box[4]))))
    else:
        points = box[[0, 1, 2, 1, 2, 3, 0, 3]].reshape(4, 2)
    return np.round(points).astype(np.int32)


def main(arguments: list[str] | None = None) -> int:
    """Prints the boxes of a picture, and draws them where asked to."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("model", help="file of tools/export.py")
    parser.add_argument("image")
    parser.add_argument("--score", type=float, default=0.3, help="least score (default: 0.3)")
    parser.add_argument("--out", help="picture to draw")
    options = parser.parse_args(arguments)
    image = cv2.imread(options.image)
    if image is None:
        print(f"{options.image}: no picture that OpenCV reads.", file=sys.stderr)
        return 2
    detector = OnnxDetector(options.model)
    boxes, scores, labels, *masks = detector(image, options.score)
    for mask in masks[0] if masks else ():
        image[mask] = image[mask] // 2 + np.uint8([0, 100, 127])
    for box, score, label in zip(boxes, scores, labels, strict=True):
        print(f"{detector.name(label):<16} {score:.3f}  " + " ".join(f"{value:8.2f}" for value in box))
        outline = corners(box)
        cv2.polylines(image, [outline], True, (0, 200, 255), 2)
        cv2.putText(
            image, detector.name(label), outline[0].tolist(), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 200, 255)
        )
    if options.out:
        cv2.imwrite(options.out, image)
    return 0


if __name__ == "__main__":
    sys.exit(main())
