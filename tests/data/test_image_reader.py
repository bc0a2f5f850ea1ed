"""One rule for size, orientation, depth and pixels, compared with Pillow where it knows better than we do."""

import io
import json
import os
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from jld.data import (
    BrokenImageError,
    COCODataset,
    DOTADataset,
    ImageDataset,
    ImageFolder,
    ImageReader,
    VOCDataset,
    images,
)
from jld.data.check import check_dataset
from jld.data.dota.convert import convert_fair
from jld.data.images import list_images, read_image, read_size
from jld.data.problems import errors_of
from jld.errors import ConfigError, DataError

PICTURE = np.random.default_rng(3).integers(0, 256, (18, 26, 3), dtype=np.uint8)
PLAIN = Image.fromarray(PICTURE)
SEE_THROUGH = Image.fromarray(np.dstack([PICTURE, PICTURE[..., 1]]), "RGBA")
SAVE = {"JPEG": {}, "PNG": {}, "TIFF": {}, "WEBP": {"lossless": True, "exact": True}}


def exif(orientation):
    block = Image.Exif()
    block[0x0112] = orientation
    return block


def saved(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def write(path, content):
    path.write_bytes(content)
    return path


def by_pillow(path):
    # From memory: of a file that it maps, Pillow 13 forgets to turn the pixels.
    with Image.open(io.BytesIO(path.read_bytes())) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))[..., ::-1]


def png(width, height, bits=8, colors=2, chunks=(), pixels=b""):
    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colors, 0, 0, 0))
    behind = b"".join(chunk(*pair) for pair in chunks)
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(pixels)) + behind + chunk(b"IEND", b"")


def tiff(pixels, *, bits, colors, kind=1, order="<"):
    """An uncompressed TIFF of an array [H, W] or [H, W, samples] with tags that no library writes."""
    height, width = pixels.shape[:2]
    samples = pixels.shape[2] if pixels.ndim == 3 else 1
    body = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    tags = [(256, width), (257, height), (258, bits), (259, 1), (262, colors), (273, 8), (277, samples)]
    tags += [(278, height), (279, len(body)), (339, kind)]
    entries = b"".join(struct.pack(order + "HHII", tag, 4, 1, value) for tag, value in tags)
    magic = {"<": b"II", ">": b"MM"}[order] + struct.pack(order + "H", 42)
    return (
        magic + struct.pack(order + "I", 8 + len(body)) + body + struct.pack(order + "H", len(tags)) + entries
    )


@pytest.mark.parametrize("kind", SAVE)
@pytest.mark.parametrize("image", [PLAIN, SEE_THROUGH], ids=["plain", "alpha"])
def test_orientation_turns_size_and_pixels_as_pillow_does(tmp_path, kind, image):
    image = PLAIN if kind == "JPEG" else image
    as_stored = read_image(write(tmp_path / "plain", saved(image, kind, **SAVE[kind])))
    for number in range(1, 9):
        turn = {"tiffinfo": {274: number}} if kind == "TIFF" else {"exif": exif(number)}
        path = write(tmp_path / str(number), saved(image, kind, **SAVE[kind], **turn))
        turned = read_image(path)
        np.testing.assert_array_equal(turned, by_pillow(path))
        assert read_size(path) == turned.shape[:2] == ((26, 18) if number > 4 else (18, 26))
        stored = ImageReader(orientation="stored")
        np.testing.assert_array_equal(stored.read(path), as_stored)
        assert stored.size(path) == (18, 26)


def test_orientation_behind_the_pixels_of_a_png_and_in_a_deep_tiff_counts(tmp_path):
    rows = b"".join(b"\0" + row.tobytes() for row in PICTURE)
    block = exif(8).tobytes().removeprefix(b"Exif\0\0")
    path = write(tmp_path / "late.png", png(26, 18, chunks=[(b"eXIf", block)], pixels=rows))
    assert read_size(path) == (26, 18)
    np.testing.assert_array_equal(
        read_image(path), cv2.rotate(PICTURE[..., ::-1], cv2.ROTATE_90_COUNTERCLOCKWISE)
    )
    deep = Image.fromarray(PICTURE[..., 0].astype(np.uint16) * 257)
    path = write(tmp_path / "deep.tif", saved(deep, "TIFF", tiffinfo={274: 6}))
    assert read_size(path) == (26, 18)
    np.testing.assert_array_equal(
        read_image(path)[..., 0], cv2.rotate(PICTURE[..., 0], cv2.ROTATE_90_CLOCKWISE)
    )


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "CMYK", "YCbCr"])
def test_kinds_of_colour_are_those_of_pillow(tmp_path, mode):
    image = SEE_THROUGH if mode in ("LA", "RGBA") else PLAIN
    for kind in ("JPEG", "PNG", "TIFF", "BMP"):
        try:
            content = saved(image.convert(mode), kind)
        except OSError:
            continue  # this format does not know the mode
        path = write(tmp_path / kind, content)
        difference = np.abs(read_image(path).astype(int) - by_pillow(path)).max()
        assert difference <= (1 if mode == "CMYK" else 0)  # two roundings of inks
        assert read_size(path) == (18, 26)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_deep_images_use_the_bits_that_are_there(tmp_path, suffix):
    values = np.random.default_rng(0).integers(0, 1 << 13, (18, 26, 3)).astype(np.uint16)
    values[0, 0] = (1 << 13) - 1
    path = tmp_path / f"deep{suffix}"
    cv2.imwrite(str(path), values)
    np.testing.assert_array_equal(read_image(path), values >> 5)
    np.testing.assert_array_equal(ImageReader(bits=12).read(path), np.minimum(values >> 4, 255))
    np.testing.assert_array_equal(ImageReader(bits=16).read(path), values >> 8)
    cv2.imwrite(str(path), values[..., 0])
    np.testing.assert_array_equal(read_image(path), np.repeat(values[..., :1] >> 5, 3, axis=2))
    cv2.imwrite(str(path), np.dstack([values, np.full((18, 26), 65535, np.uint16)]))
    np.testing.assert_array_equal(read_image(path), values >> 5)  # alpha does not say how bright it is
    cv2.imwrite(str(path), values % 200)
    np.testing.assert_array_equal(read_image(path), values % 200)  # 8 bits in 16 stay what they are


def test_deep_tiffs_of_other_makers(tmp_path):
    values = PICTURE[..., 0].astype(np.uint16) * 4
    for order in "<>":
        path = write(tmp_path / "a.tif", tiff(values, bits=16, colors=1, order=order))
        np.testing.assert_array_equal(read_image(path)[..., 1], PICTURE[..., 0])
    path = write(tmp_path / "white.tif", tiff(values, bits=16, colors=0))
    np.testing.assert_array_equal(read_image(path)[..., 1], 255 - PICTURE[..., 0])


def test_depth_is_said_once_and_by_the_check(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("jld.utils.logging._said", set())
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / name), np.full((40, 50), 1000, np.uint16))
        read_image(tmp_path / name)
    assert (
        len(caplog.messages) == 1 and "16 bits per sample" in caplog.messages[0] and "10 are" in caplog.text
    )
    data = coco(tmp_path, ["a.png", "b.png"], size=(40, 50))
    (finding,) = check_dataset(data)
    assert finding.severity == "warning" and "has 16 bits" in finding.message and "1 more" in finding.message


def test_what_cannot_be_made_8_bits_is_refused_with_the_reason(tmp_path):
    grey, five = PICTURE[..., 0], np.dstack([PICTURE, PICTURE])[..., :5]
    for content, reason in (
        (tiff(grey.astype(np.float32), bits=32, colors=1, kind=3), "floating-point"),
        (cv2.imencode(".tif", PICTURE.astype(np.float32))[1].tobytes(), "floating-point"),
        (cv2.imencode(".tif", grey.astype(np.float64))[1].tobytes(), "floating-point"),
        (tiff(grey.astype(np.int16), bits=16, colors=1, kind=2), "signed"),
        (tiff(grey.astype(np.uint32), bits=32, colors=1), "32 bits per sample"),
        (tiff(five, bits=8, colors=2), "5 samples per pixel"),
        (tiff(PICTURE[..., :2].astype(np.uint16), bits=16, colors=1), "16 bits per sample"),
        (saved(PLAIN, "GIF"), "no image format"),
        (saved(PLAIN, "PPM"), "no image format"),
        (png(0, 7), "0 x 7 px"),
    ):
        path = write(tmp_path / "image.tif", content)
        for read in (read_image, read_size):
            with pytest.raises(BrokenImageError, match=f"image.tif cannot be used: .*{reason}"):
                read(path)


@pytest.mark.parametrize(("colors", "samples"), [(0, 1), (2, 3)])
def test_too_many_pixels_are_refused_by_the_header(tmp_path, colors, samples):
    path = write(tmp_path / "bomb.png", png(60, 50, colors=colors, pixels=bytes((60 * samples + 1) * 50)))
    assert ImageReader(max_pixels=3000).read(path).shape == (50, 60, 3)
    with pytest.raises(
        BrokenImageError, match=r"60 x 50 = 3,000 px, more than .* 2,999; .*max_pixels=3000\)"
    ):
        ImageReader(max_pixels=2999).read(path)
    assert ImageReader(max_pixels=2999).size(path) == (50, 60)
    # The default takes DOTA's 20,000 px sides and nothing that fills the memory of a small machine.
    vast = write(tmp_path / "vast.png", png(30_000, 30_000, colors=colors))
    assert read_size(vast) == (30_000, 30_000)
    with pytest.raises(BrokenImageError, match="900,000,000 px"):
        read_image(vast)
    with pytest.raises(BrokenImageError, match="the PNG data is damaged"):
        read_image(write(tmp_path / "dota.png", png(3, 4, colors=colors)))


def test_data_behind_the_end_of_a_jpeg_is_no_damage_and_a_missing_end_is(tmp_path):
    for options in ({}, {"progressive": True}):
        whole = saved(PLAIN.resize((90, 70)), "JPEG", quality=95, **options)
        wanted = read_image(write(tmp_path / "whole.jpg", whole))
        for behind in (b"\0", bytes(3 * len(whole)), b"ftypmp42" + bytes(range(256)) * 60, whole):
            path = write(tmp_path / "more.jpg", whole + behind)
            np.testing.assert_array_equal(read_image(path), wanted)
        for share in (0.5, 0.9, 0.999):
            for behind in (b"", whole):
                path = write(tmp_path / "cut.jpg", whole[: int(share * len(whole))] + behind)
                with pytest.raises(BrokenImageError, match=r"cut\.jpg .*ends early"):
                    read_image(path)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "BMP"])
def test_other_formats_that_end_early_are_named(tmp_path, kind):
    whole = saved(PLAIN.resize((60, 40)), kind)
    assert read_image(write(tmp_path / "whole", whole + b"more")).shape == (40, 60, 3)
    for share in (0.6, 0.98):
        with pytest.raises(BrokenImageError, match=r"ends early|header"):
            read_image(write(tmp_path / "cut", whole[: int(share * len(whole))]))


def test_what_is_no_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    for name, reason in (
        ("pipe.png", "it is a pipe"),
        ("folder.png", "it is a folder"),
        ("a\0b.png", "no file can have this name"),
        ("a\ud812b.png", "no file can have this name"),
        ("line\nbreak.png", "No such file"),
    ):
        for read in (read_image, read_size):
            with pytest.raises(BrokenImageError, match=reason) as caught:
                read(tmp_path / name)
            assert str(caught.value).isprintable() and caught.value.path.encode("utf-8")


def test_large_images_are_read_like_small_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "COPIED_AT_MOST", 300)
    monkeypatch.setattr(images, "READ_AT_ONCE", 200)
    deep = Image.fromarray(PICTURE[..., 0].astype(np.uint16) * 256)
    for image, kind in ((PLAIN, "JPEG"), (PLAIN, "PNG"), (PLAIN, "TIFF"), (PLAIN, "BMP"), (deep, "PNG")):
        turn = {"tiffinfo": {274: 7}} if kind == "TIFF" else {} if kind == "BMP" else {"exif": exif(7)}
        content = saved(image, kind, **turn)
        path = write(tmp_path / os.fsdecode(b"\xff.img"), content)  # no name in UTF-8
        large = read_image(path)
        with monkeypatch.context() as patch:
            patch.setattr(images, "COPIED_AT_MOST", 1 << 24)
            np.testing.assert_array_equal(read_image(path), large)
        with pytest.raises(BrokenImageError, match=r"ends early|header"):
            read_image(write(path, content[: len(content) * 2 // 3]))


def test_hidden_files_are_no_images(tmp_path):
    for name in ("a.png", "._a.png", ".b.png.part.png"):
        write(tmp_path / name, b"")
    assert [path.name for path in list_images(tmp_path)] == ["a.png"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"orientation": "exfi"}, r"image_reader\.orientation is 'exfi'.*exif"),
        ({"bits": 7}, r"image_reader\.bits is 7.* 8 to 16"),
        ({"max_pixels": 0}, r"image_reader\.max_pixels is 0"),
        ({"max_pixels": 1 << 31}, r"image_reader\.max_pixels"),
        ({"orientations": "exif"}, "has no key 'orientations'.*orientation"),
        ("stored", "is 'stored'; it is a section"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ConfigError, match=message):
        ImageReader.of(options)


def coco(folder, names, *, size, boxes=((2, 2, 9, 9),), **options):
    """A dataset of images with the same (height, width) and boxes in its json."""
    images = [
        {"id": k, "file_name": name, "height": size[0], "width": size[1]} for k, name in enumerate(names)
    ]
    rows = [{"image_id": k, "category_id": 1, "bbox": list(box)} for k in range(len(names)) for box in boxes]
    rows = [{"id": k, "area": 81, "iscrowd": 0, **row} for k, row in enumerate(rows)]
    content = {"images": images, "annotations": rows, "categories": [{"id": 1, "name": "cup"}]}
    (folder / "labels.json").write_text(json.dumps(content))
    return COCODataset(root=str(folder), anno_file="labels.json", min_size=1, **options)


@pytest.mark.parametrize("number", [5, 6, 7, 8])
def test_labels_of_the_other_orientation_are_an_error_that_says_what_to_set(tmp_path, number):
    write(tmp_path / "phone.jpg", saved(PLAIN.resize((60, 40)), "JPEG", exif=exif(number)))
    rng = np.random.default_rng(0)
    for said, reader, cure in (
        ((40, 60), {}, "stored"),
        ((60, 40), {"orientation": "stored"}, "exif"),
    ):
        wrong = coco(tmp_path, ["phone.jpg"], size=said, image_reader=reader)
        with pytest.raises(DataError, match=rf"EXIF orientation {number}.*orientation='{cure}'") as caught:
            wrong.get(0, rng)
        assert not isinstance(caught.value, BrokenImageError)  # those are passed over, this must stop
        (problem,) = errors_of(check_dataset(wrong))
        assert f"image_reader=dict(orientation='{cure}')" in problem.message
        right = coco(tmp_path, ["phone.jpg"], size=said, image_reader={"orientation": cure})
        assert right.get(0, rng)["ori_shape"] == said and not check_dataset(right)


def test_objects_that_fit_the_other_orientation_only_are_an_error(tmp_path):
    write(tmp_path / "phone.jpg", saved(PLAIN.resize((60, 40)), "JPEG", exif=exif(6)))
    data = coco(tmp_path, ["phone.jpg"], size=(60, 40), boxes=[(45, 5, 10, 10)], strict=False)
    header = ImageReader().header(tmp_path / "phone.jpg")
    assert "fit into 60x40 px only" in ImageReader().conflict(header, centers=np.array([[50.0, 10]]))
    assert ImageReader().conflict(header, centers=np.array([[20.0, 10]])) == ""
    assert ImageReader().conflict(header, centers=np.array([[50.0, 10], [20, 55]])) == ""  # fit neither
    assert any("lies outside" in str(problem) for problem in errors_of(check_dataset(data)))


@pytest.fixture
def phone(tmp_path):
    """A folder in the layouts of DOTA and VOC with a picture stored 60 wide and shown 40 wide."""
    for name in ("images", "labelTxt", "JPEGImages", "Annotations", "ImageSets/Main"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("images", "JPEGImages"):
        write(tmp_path / name / "p.jpg", saved(PLAIN.resize((60, 40)), "JPEG", exif=exif(8)))
    (tmp_path / "labelTxt" / "p.txt").write_text("45 5 58 5 58 30 45 30 plane 0\n")
    box = "<bndbox><xmin>45</xmin><ymin>5</ymin><xmax>58</xmax><ymax>30</ymax></bndbox>"
    size = "<size><width>60</width><height>40</height><depth>3</depth></size>"
    xml = f"<annotation>{size}<object><name>cat</name>{box}</object></annotation>"
    (tmp_path / "Annotations" / "p.xml").write_text(xml)
    (tmp_path / "ImageSets" / "Main" / "trainval.txt").write_text("p\n")
    return tmp_path


def test_every_dataset_takes_the_reader(phone):
    rng, stored = np.random.default_rng(0), {"image_reader": {"orientation": "stored"}}
    with pytest.raises(DataError, match=r"p\.jpg: has the EXIF orientation 8.*orientation='stored'"):
        DOTADataset(str(phone))
    with pytest.raises(DataError, match=r"its annotation says 60x40.*orientation='stored'"):
        VOCDataset(str(phone), classes="cat").get(0, rng)
    for data in (
        DOTADataset(str(phone), **stored),
        VOCDataset(str(phone), classes="cat", **stored),
        ImageFolder(str(phone / "images"), **stored),
        ImageDataset(str(phone / "images"), **stored),
    ):
        assert data.get(0, rng)["ori_shape"] == (40, 60) and data.image_sizes().tolist() == [[40, 60]]
        assert data.read_image(0).shape == (40, 60, 3) and not check_dataset(data)
    for data in (ImageFolder(str(phone / "images")), ImageDataset(str(phone / "images"))):
        assert data.read_image(0).shape == (60, 40, 3) and data.image_sizes().tolist() == [[60, 40]]


def test_a_conversion_checks_the_orientation_too(phone):
    source = phone / "fair"
    (source / "labelXml").mkdir(parents=True)
    (phone / "images").rename(source / "images")
    points = "".join(f"<point>{x},{y}</point>" for x, y in ((45, 5), (58, 5), (58, 30), (45, 30), (45, 5)))
    item = f"<object><possibleresult><name>A220</name></possibleresult><points>{points}</points></object>"
    (source / "labelXml" / "p.xml").write_text(f"<annotation><objects>{item}</objects></annotation>")
    with pytest.raises(DataError, match=r"p\.jpg: has the EXIF orientation 8.*orientation='stored'"):
        convert_fair(source, phone / "out")
    assert convert_fair(source, phone / "out", image_reader=ImageReader(orientation="stored")) == 1
    assert cv2.imread(str(phone / "out" / "images" / "P000p.png")).shape == (40, 60, 3)


def test_the_check_names_images_over_the_limit(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((40, 50, 3), np.uint8))
    data = coco(tmp_path, ["a.png"], size=(40, 50), image_reader={"max_pixels": 1999})
    (finding,) = check_dataset(data)
    assert finding.severity == "warning" and "50 x 40 = 2,000 px" in finding.message


def test_headers_that_lie_or_are_damaged_are_named_without_a_traceback(tmp_path):
    rng = np.random.default_rng(1)
    sound = [saved(PLAIN, kind, **SAVE.get(kind, {})) for kind in ("JPEG", "PNG", "TIFF", "WEBP", "BMP")]
    reader, num_refused = ImageReader(max_pixels=10**5), 0
    for number in range(300):
        content = bytearray(sound[number % 5])
        for _ in range(4):
            content[rng.integers(min(len(content), 200))] = rng.integers(256)
        path = write(tmp_path / "image", bytes(content[: rng.integers(20, len(content) + 1)]))
        try:
            assert reader.read(path).shape[2] == 3
        except BrokenImageError:
            num_refused += 1
    assert num_refused > 100
