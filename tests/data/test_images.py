from __future__ import annotations

import pickle

import cv2
import numpy as np
import pytest
from PIL import Image

from jld.data import BrokenImageError, ImageFolder, ImageReader
from jld.data.images import read_image, read_size
from jld.errors import ConfigError, DataError

PICTURE = np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp"])
def test_whole_images_are_read_and_halves_refused(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    cv2.imwrite(str(path), PICTURE)
    image = read_image(path)
    assert image.shape == (30, 50, 3) and image.dtype == np.uint8 and read_size(path) == (30, 50)
    if suffix in (".png", ".bmp"):
        np.testing.assert_array_equal(image, PICTURE)
    for share in (0.3, 0.6, 0.95):
        data = path.read_bytes()
        (tmp_path / "half").write_bytes(data[: int(len(data) * share)])
        if suffix != ".bmp":  # has no end marker and no checksum
            with pytest.raises(BrokenImageError, match="half cannot be used"):
                read_image(tmp_path / "half")


def test_grey_and_transparent_images_become_three_channels(tmp_path):
    cv2.imwrite(str(tmp_path / "grey.png"), PICTURE[:, :, 0])
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png"), np.repeat(PICTURE[:, :, :1], 3, axis=2))
    cv2.imwrite(str(tmp_path / "alpha.png"), np.dstack([PICTURE, PICTURE[:, :, 0]]))
    np.testing.assert_array_equal(read_image(tmp_path / "alpha.png"), PICTURE)


def test_exif_orientation_turns_pixels_and_size_alike(tmp_path):
    image = Image.fromarray(PICTURE)
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.jpg", exif=exif)
    assert read_size(tmp_path / "turned.jpg") == read_image(tmp_path / "turned.jpg").shape[:2] == (50, 30)


@pytest.mark.parametrize(
    "content, reason", [(b"", "the file is empty"), (b"hello", "no image format"), (None, "No such file")]
)
def test_what_is_no_image_is_named_with_the_reason(tmp_path, content, reason):
    path = tmp_path / "x.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BrokenImageError, match=f"x.jpg cannot be used: {reason}") as caught:
        read_image(path)
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value) and again.path == str(path)
    with pytest.raises(BrokenImageError):
        read_size(path)


def test_image_folder_lists_images_with_subfolders(tmp_path):
    (tmp_path / "deep").mkdir()
    for name in ("b.png", "deep/c.JPG", "a.jpeg"):
        cv2.imwrite(str(tmp_path / name), PICTURE)
    (tmp_path / "notes.txt").write_text("a.jpeg\n\ndeep/c.JPG\n")
    folder = ImageFolder(str(tmp_path), classes=["x"])
    assert folder.image_ids == ["a.jpeg", "b.png", "deep/c.JPG"] and folder.classes == ("x",)
    sample = folder.get(1, np.random.default_rng(0))
    np.testing.assert_array_equal(sample["image"], PICTURE.transpose(2, 0, 1))
    assert sample["boxes"].shape == (0, 4) and sample["img_id"] == "b.png" and sample["ori_shape"] == (30, 50)
    np.testing.assert_array_equal(folder.image_sizes(), [[30, 50]] * 3)
    listed = ImageFolder(str(tmp_path), images_file=str(tmp_path / "notes.txt"))
    assert listed.image_ids == ["a.jpeg", "deep/c.JPG"]
    with pytest.raises(DataError, match="no labels to evaluate with"):
        folder.ground_truth()


def test_image_folder_says_what_is_missing(tmp_path):
    for options, reason in (
        ({"images_dir": str(tmp_path / "no")}, "is no folder"),
        ({"images_dir": str(tmp_path)}, "holds no image file"),
        ({"images_file": str(tmp_path / "no.txt")}, "does not exist"),
    ):
        with pytest.raises(DataError, match=reason):
            ImageFolder(**options)
    with pytest.raises(ConfigError, match="needs images_dir or images_file"):
        ImageFolder()


def test_pixels_in_memory_follow_the_rules_of_files(tmp_path):
    rng, reader = np.random.default_rng(3), ImageReader()
    color = rng.integers(0, 256, (6, 5, 3), np.uint8)
    alpha = np.dstack([color, np.zeros((6, 5), np.uint8)])
    np.testing.assert_array_equal(reader.pixels(color), color)
    np.testing.assert_array_equal(reader.pixels(alpha), color)
    for grey in (color[..., 0], color[..., :1], color[..., :2]):
        np.testing.assert_array_equal(reader.pixels(grey), np.repeat(color[..., :1], 3, 2))
    assert reader.pixels(color[..., 0] > 99).max() == 255
    for deep in (rng.integers(0, 1 << 12, (6, 5), np.uint16), rng.integers(0, 1 << 16, (6, 5, 3), np.uint16)):
        cv2.imwrite(str(tmp_path / "deep.png"), deep)
        for each in (reader, ImageReader(bits=11)):
            np.testing.assert_array_equal(each.pixels(deep), each.read(tmp_path / "deep.png"))
            np.testing.assert_array_equal(
                each.pixels(deep if deep.ndim == 3 else Image.open(tmp_path / "deep.png")),
                each.read(tmp_path / "deep.png"),
            )
    exif = Image.Exif()
    exif[0x0112] = 6
    for mode in ("RGB", "RGBA", "L", "LA", "P", "1", "CMYK"):
        picture = Image.fromarray(color[..., ::-1]).convert(mode)
        suffix = "tif" if mode == "CMYK" else "png"
        picture.save(tmp_path / f"{mode}.{suffix}", **({} if mode == "CMYK" else {"exif": exif}))
        for each in (reader, ImageReader(orientation="stored")):
            read = each.read(tmp_path / f"{mode}.{suffix}")
            np.testing.assert_array_equal(each.pixels(Image.open(tmp_path / f"{mode}.{suffix}")), read)
    for wrong in (
        color.astype(float),
        color[:0],
        color[None],
        np.zeros((4, 4, 5), np.uint8),
        Image.new("F", (3, 3)),
    ):
        with pytest.raises(DataError):
            reader.pixels(wrong)
