"""Class names that a config tells without its data being there."""

import pytest

from jld.data.aerial_shapes import KINDS
from jld.data.classes import COCO_CLASSES, class_names_of
from jld.data.dota import DOTA1_CLASSES, DOTA2_CLASSES, FAIR_CLASSES
from jld.errors import ConfigError


@pytest.mark.parametrize(
    ("section", "classes"),
    [
        ({"type": "COCODataset"}, COCO_CLASSES),
        ({"type": "COCODataset", "classes": ["a", "b"]}, ("a", "b")),
        ({"type": "DOTADataset"}, DOTA1_CLASSES),
        ({"type": "DOTADataset", "version": "2"}, DOTA2_CLASSES),
        ({"type": "DOTADataset", "version": "SSDD"}, ("ship",)),
        ({"type": "ImageDataset", "dataset_type": "FAIR"}, FAIR_CLASSES),
        ({"type": "DrawnOrientedDataset"}, KINDS),
        ({"type": "MyDataset"}, ()),
    ],
)
def test_classes_of_a_dataset_section(section, classes):
    assert class_names_of({"dataset": {"test": None, "val": section}}) == classes


def test_unknown_versions_are_named():
    with pytest.raises(ConfigError, match="did you mean '1_5'"):
        class_names_of({"dataset": {"val": {"type": "DOTADataset", "version": "1.5"}}})
    assert class_names_of({}) == ()
