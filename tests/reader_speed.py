"""How long the readers of label files take, here and in another checkout of jld.

    python tests/reader_speed.py
    git worktree add ../before <commit> && python tests/reader_speed.py --against ../before

The files are written once and read in turn by processes of both checkouts; the table has the
least processor time of several rounds, and the median of the ratios of the rounds.
The exit code is 1 where a reader takes more than 1.1 times as long as the other checkout's.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

WIDTH, HEIGHT, OBJECTS, CLASSES = 640, 480, 7, ("bus", "van", "tram")
SLOWER = 1.1
HERE = Path(__file__).resolve().parents[1]
ROTATED = "images_dir='{0}/images', classes=['bus', 'van', 'tram'], filter_empty_gt=False"
READERS = {
    "COCO": "COCODataset('{0}/images', '{0}/coco.json', filter_empty_gt=False)",
    "VOC": "VOCDataset('{0}', 'train', classes=['bus', 'van', 'tram'], filter_empty_gt=False)",
    "YOLO": "YOLODataset('{0}/images', '{0}/yolo', classes=['bus', 'van', 'tram'], filter_empty_gt=False)",
    "DOTA": f"DOTADataset({ROTATED}, annotations_file='{{0}}/labelTxt')",
    "YOLO-OBB": f"DOTADataset({ROTATED}, annotations_file='{{0}}/obb', label_format='yolo_obb')",
    "roLabelImg": f"DOTADataset({ROTATED}, annotations_file='{{0}}/ro', label_format='rolabelimg')",
    "COCO, rotated": f"DOTADataset({ROTATED}, annotations_file='{{0}}/coco.json')",
}
PROGRAM = """
import sys, time
from jld.data import *
start = time.process_time()
count = len({call})
print(count, time.process_time() - start)
"""


def write(folder: Path, num_images: int) -> None:
    """The same objects in every format; the images are links to one."""
    rng = np.random.default_rng(0)
    places = ("images", "Annotations", "ImageSets/Main", "yolo", "labelTxt", "obb", "ro")
    for name in places:
        (folder / name).mkdir(parents=True)
    (folder / "JPEGImages").symlink_to(folder / "images")
    cv2.imwrite(str(folder / "images/i0.png"), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    names = [f"i{index}" for index in range(num_images)]
    coco: dict[str, list] = {"images": [], "annotations": []}
    coco["categories"] = [{"id": number, "name": name} for number, name in enumerate(CLASSES)]
    for index, name in enumerate(names):
        if index:
            os.link(folder / "images/i0.png", folder / f"images/{name}.png")
        image = {"id": index, "file_name": f"{name}.png", "width": WIDTH, "height": HEIGHT}
        coco["images"].append(image)
        corners = np.round(rng.uniform((5, 5), (WIDTH - 60, HEIGHT - 60), (OBJECTS, 2)), 2)
        write_image(folder, name, coco["annotations"], corners, rng.integers(3, size=OBJECTS))
    (folder / "coco.json").write_text(json.dumps(coco))
    (folder / "ImageSets/Main/train.txt").write_text("\n".join(names))


def write_image(folder: Path, name: str, annotations: list, corners: np.ndarray, labels: np.ndarray) -> None:
    """Squares of 50 px as objects of one image."""
    size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height></size>"
    texts: dict[str, list[str]] = {"yolo": [], "labelTxt": [], "obb": [], "Annotations": [], "ro": []}
    for (x, y), label in zip(corners.tolist(), labels.tolist(), strict=True):
        box = {"id": len(annotations), "image_id": int(name[1:]), "category_id": label, "iscrowd": 0}
        annotations.append(box | {"bbox": [x, y, 50, 50], "area": 2500})
        points = [x, y, x + 50, y, x + 50, y + 50, x, y + 50]
        parts = [point / (WIDTH, HEIGHT)[place % 2] for place, point in enumerate(points)]
        texts["labelTxt"].append(f"{' '.join(map(str, points))} {CLASSES[label]} 0\n")
        texts["obb"].append(f"{label} {' '.join(f'{part:.6f}' for part in parts)}\n")
        texts["yolo"].append(
            f"{label} {(x + 25) / WIDTH:.6f} {(y + 25) / HEIGHT:.6f} {50 / WIDTH:.6f} {50 / HEIGHT:.6f}\n"
        )
        head = f"<object><name>{CLASSES[label]}</name><difficult>0</difficult>"
        sides = zip(("xmin", "ymin", "xmax", "ymax"), (x, y, x + 50, y + 50), strict=True)
        inner = "".join(f"<{side}>{value}</{side}>" for side, value in sides)
        texts["Annotations"].append(f"{head}<bndbox>{inner}</bndbox></object>\n")
        turned = f"<cx>{x + 25}</cx><cy>{y + 25}</cy><w>50</w><h>50</h><angle>0.3</angle>"
        texts["ro"].append(f"{head}<robndbox>{turned}</robndbox></object>\n")
    for place, lines in texts.items():
        is_xml = place in ("Annotations", "ro")
        text = f"<annotation>{size}{''.join(lines)}</annotation>" if is_xml else "".join(lines)
        (folder / place / f"{name}.{'xml' if is_xml else 'txt'}").write_text(text)


def seconds(checkout: Path, reader: str, folder: Path, num_images: int) -> float | None:
    """How long a reader of a checkout takes once; None where it has no such reader."""
    program = PROGRAM.format(call=READERS[reader].format(folder))
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=checkout,  # which `python -c` looks at first
        env={**os.environ, "PYTHONPATH": str(checkout)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode and checkout != HERE:
        return None
    words = done.stdout.split()
    if words[:1] != [str(num_images)]:
        raise RuntimeError(f"{checkout}, {reader}: {done.stdout}{done.stderr}")
    return float(words[1])


def main(arguments: list[str] | None = None) -> int:
    """Prints a row per reader; see the module."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--against", type=Path, help="another checkout")
    options = parser.parse_args(arguments)
    checkouts = [HERE, *([options.against.resolve()] if options.against else [])]
    slow = []
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), options.images)
        print(f"| {options.images} images of {OBJECTS} objects | s | s before | ratio |\n|---|---|---|---|")
        for reader in READERS:
            times: dict[Path, list] = {checkout: [] for checkout in checkouts}
            for number in range(options.rounds):
                # Each of them is first in every other round.
                for checkout in reversed(checkouts) if number % 2 else checkouts:
                    times[checkout].append(seconds(checkout, reader, Path(name), options.images))
            best = [None if None in each else min(each) for each in times.values()]
            before = best[1] if len(best) > 1 else None
            # Neighbours in time: a busy machine slows both, and one disturbed pair does not decide.
            pairs = [here / there for here, there in zip(*times.values(), strict=True)] if before else []
            ratio = statistics.median(pairs) if pairs else None
            slow += [reader] if ratio and ratio > SLOWER else []
            cells = ["-" if value is None else f"{value:.2f}" for value in (best[0], before, ratio)]
            print(f"| {reader} | {' | '.join(cells)} |", flush=True)
    if slow:
        print(f"slower than before: {', '.join(slow)}")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
