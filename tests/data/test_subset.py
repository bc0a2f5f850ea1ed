from __future__ import annotations

import pickle

import numpy as np

from jld.data import DataLoader, DatasetSlice, DrawnDataset


def test_a_slice_is_the_start_of_its_dataset():
    dataset = DrawnDataset(num_images=9, image_size=(32, 48))
    part = DatasetSlice(dataset, 4)
    assert len(part) == 4 and part.image_ids == [0, 1, 2, 3] and part.classes == dataset.classes
    np.testing.assert_array_equal(part.image_sizes(), [[32, 48]] * 4)
    assert [truth["img_id"] for truth in part.ground_truth()] == [0, 1, 2, 3]
    assert len(DatasetSlice(dataset, 50)) == 9


def test_a_slice_reaches_workers():
    part = DatasetSlice(DrawnDataset(num_images=9, image_size=32), 4)
    assert len(pickle.loads(pickle.dumps(part))) == 4
    loader = DataLoader(part, batch_size=4, num_workers=1, shuffle=True)
    assert sorted(next(loader.epoch(0))["img_ids"]) == [0, 1, 2, 3]
    loader.close()
