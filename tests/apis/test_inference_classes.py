"""What inference takes from a config: class names without data being there, how images are read."""

import pytest
from PIL import Image

from jld.apis import inference
from jld.apis.inference import _classes_of
from jld.data import Compose, ImageReader
from jld.data.aerial_shapes import KINDS
from jld.data.classes import COCO_CLASSES
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
    assert _classes_of({"dataset": {"test": None, "val": section}}) == classes


def test_unknown_versions_are_named():
    with pytest.raises(ConfigError, match="did you mean '1_5'"):
        _classes_of({"dataset": {"val": {"type": "DOTADataset", "version": "1.5"}}})
    assert _classes_of({}) == ()


def test_images_are_read_as_the_test_data_are(tmp_path):
    stored = {"image_reader": {"orientation": "stored"}}
    for dataset, wanted in (
        ({"test": stored, "val": {}}, "stored"),
        ({"test": None, "val": stored}, "stored"),
        ({"train": stored, "test": {}}, "exif"),
        (None, "exif"),
    ):
        assert inference._test_reader({"dataset": dataset}).orientation == wanted
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (30, 20)).save(tmp_path / "phone.png", exif=exif)
    for reader, wanted in ((ImageReader(), (30, 20)), (ImageReader(orientation="stored"), (20, 30))):
        assert inference._sample(Compose(), reader, tmp_path / "phone.png", 0)["ori_shape"] == wanted
