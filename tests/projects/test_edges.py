"""Errors at edges of drawn figures: which edges cannot be seen, and how far boxes are off there."""

import runpy
from pathlib import Path

import numpy as np
import pytest

from jld.boxes.detections import Detections
from jld.data.drawn import DrawnDataset, touching_points

EDGES = runpy.run_path(str(Path(__file__).resolve().parents[2] / "projects/when_it_helps/edges.py"))


def test_a_faded_side_differs_less_from_what_is_behind_it():
    dataset = DrawnDataset(
        split="val", num_images=150, image_size=96, blur_scale=0.0, kinds=["disc"], max_objects=1
    )
    unclear, truths = dataset.unclear_edges(), dataset.ground_truth()
    assert [edges.shape for edges in unclear] == [(len(truth["boxes"]), 4) for truth in truths]
    steps = {True: [], False: []}
    for index, (scene, edges) in enumerate(zip(dataset.scenes, unclear, strict=True)):
        image = dataset.read_image(index).astype(float)
        for figure, sides in zip(scene, edges, strict=True):
            for (x, y), (dx, dy), is_unclear in zip(
                touching_points(figure), ((-4, 0), (0, -4), (4, 0), (0, 4)), sides, strict=True
            ):
                inside, outside = (int(y - dy / 4), int(x - dx / 4)), (int(y + dy), int(x + dx))
                if 0 <= min(outside) and max(outside) < 96:
                    steps[bool(is_unclear)].append(np.abs(image[inside] - image[outside]).mean())
    assert len(steps[True]) > 15
    assert np.mean(steps[True]) < 0.6 * np.mean(steps[False])


def test_a_later_figure_on_the_edge_hides_it():
    dataset = DrawnDataset(split="val", num_images=200, image_size=96, max_objects=6)
    for scene, unclear in zip(dataset.scenes, dataset.unclear_edges(), strict=True):
        if scene:
            # Nothing lies over the last figure: at most the one side is unclear at which it fades out.
            assert unclear[-1].sum() <= 1
    alone = DrawnDataset(split="val", num_images=200, image_size=96, max_objects=1)
    crowded = np.concatenate(dataset.unclear_edges()).mean()
    assert crowded > np.concatenate(alone.unclear_edges()).mean()


def test_the_error_is_that_of_the_best_box_of_the_class_in_shares_of_the_side():
    truth = {"boxes": np.array([[10.0, 10, 30, 50], [60, 60, 90, 90]]), "labels": np.array([1, 0])}
    boxes = np.array([[12.0, 10, 30, 46], [10, 10, 30, 50], [0, 0, 5, 5]], np.float32)
    found = Detections(
        img_id=0, boxes=boxes, scores=np.array([0.9, 0.8, 0.7], np.float32), labels=np.array([1, 0, 0])
    )
    (errors,) = EDGES["edge_errors"]([found], [truth])
    assert errors[0] == pytest.approx([0.1, 0, 0, 0.1]) and np.isnan(errors[1]).all()
    score = EDGES["negative_mean"]([errors], [np.array([[True, False, False, True], [False] * 4])])
    assert score(np.ones(1)) == pytest.approx(-0.1)
