"""Which images are looked at for each class, and that they are those of the dataset."""

import numpy as np

from jld.data import DrawnDataset
from jld.data.chosen import ChosenImages, images_with_classes


def test_images_are_drawn_for_every_class_by_a_seed():
    dataset = DrawnDataset(split="train", num_images=30, image_size=64)
    table = dataset.table
    every, drawn = images_with_classes(dataset, max_images=100, min_side_px=12.0, seed=1)
    for number, index in enumerate(every):
        rows = table.rows(index)
        large = (table.boxes[rows, 2:] - table.boxes[rows, :2] > 12).all(1)
        assert set(np.flatnonzero(drawn[number])) == set(table.labels[rows][large])
    assert 0 < len(every) < 30
    few = [images_with_classes(dataset, max_images=3, min_side_px=0.0, seed=seed) for seed in (1, 1, 2)]
    assert (few[0][1].sum(0) == 3).all()
    np.testing.assert_array_equal(few[0][0], few[1][0])
    assert not np.array_equal(few[0][0], few[2][0])


def test_chosen_images_are_those_of_the_dataset():
    dataset = DrawnDataset(split="train", num_images=5, image_size=64)
    chosen = ChosenImages(dataset, [3, 1], transforms=[])
    assert len(chosen) == 2 and chosen.image_ids == [3, 1]
    assert chosen.image_file(1) == dataset.image_file(1)
    sample = chosen.get(0, np.random.default_rng(0))
    np.testing.assert_array_equal(sample["image"], dataset.get(3, np.random.default_rng(0))["image"])
    assert chosen.describe() != ChosenImages(dataset, [1, 3], transforms=[]).describe()
