"""Weights that others publish, by the names that configs give them: addresses, hashes, and where they lie.

Nothing is fetched without being asked for: by `jld download NAME`, by the flag `--download`, or by
`JLD_DOWNLOAD=1`. Hashes are the beginnings that the publishers put into the file names; of the files of
Detectron2 and of the teachers of other groups none is known.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from jld.checkpoint.download import download, file_name
from jld.errors import CheckpointError, suggestion

# Published teachers and detectors go where the configs look for them, relative to the current folder.
TEACHERS = "weights"


@dataclass(frozen=True)
class KnownFile:
    """One published file.

    Attributes:
        name: what a config calls it: "torchvision://resnet18"; of a detector the name of its config; or the
            address itself.
        url: its address.
        sha256: the beginning of its hash, "" where none is known.
        megabytes: of 2**20 bytes, where its publisher states them.
    """

    name: str
    url: str
    sha256: str = ""
    megabytes: int | None = None

    @property
    def place(self) -> Path:
        """Where it lies on this machine, with its publisher's hash in the name of a backbone's file."""
        scheme, separator, name = self.name.partition("://")
        if self.name == self.url:
            return Path(TEACHERS, file_name(self.url))
        suffix = PurePosixPath(self.url).suffix
        if not separator:
            return Path(TEACHERS, f"{scheme}{suffix}")
        return weights_folder() / f"{name}{self.sha256 and '-'}{self.sha256}{suffix}"


_TORCHVISION = "https://download.pytorch.org/models"
_MMLAB = "https://download.openmmlab.com"
_DETECTRON2 = "https://dl.fbaipublicfiles.com/detectron2/ImageNetPretrained"
_SWIN = "https://github.com/SwinTransformer/storage/releases/download/v1.0.0"


def _torchvision(name: str, sha256: str, megabytes: int) -> KnownFile:
    return KnownFile(f"torchvision://{name}", f"{_TORCHVISION}/{name}-{sha256}.pth", sha256, megabytes)


def _mmlab(name: str, file: str) -> KnownFile:
    url = f"{_MMLAB}/pretrain/third_party/{file}.pth"
    return KnownFile(f"open-mmlab://{name}", url, file.rpartition("-")[2])


def _mmdet(name: str, folder: str, file: str) -> KnownFile:
    """A detector of mmDetection's model zoo under the name of jld's config of the same row."""
    stem = f"{folder.rpartition('/')[2]}{file}" if file.startswith(("_", "-")) else file
    return KnownFile(name, f"{_MMLAB}/mmdetection/v2.0/{folder}/{stem}.pth", file.rpartition("-")[2])


KNOWN_FILES: tuple[KnownFile, ...] = (
    _torchvision("resnet18", "f37072fd", 45),
    _torchvision("resnet34", "b627a593", 83),
    _torchvision("resnet50", "0676ba61", 98),
    _torchvision("resnet101", "63fe2227", 171),
    _torchvision("resnet152", "394f9c45", 230),
    _mmlab("detectron/resnet50_caffe", "resnet50_caffe-788b5fa3"),
    _mmlab("detectron/resnet101_caffe", "resnet101_caffe-3ad79236"),
    _mmlab("detectron2/resnet50_caffe", "resnet50_msra-5891d200"),
    _mmlab("detectron2/resnet101_caffe", "resnet101_msra-6cc46731"),
    _mmlab("resnext101_32x4d", "resnext101_32x4d-a5af3160"),
    _mmlab("resnext101_64x4d", "resnext101_64x4d-ee2c6f71"),
    _mmlab("res2net101_v1d_26w_4s", "res2net101_v1d_26w_4s_mmdetv2-f0a600f9"),
    KnownFile("detectron2://R-50", f"{_DETECTRON2}/MSRA/R-50.pkl"),
    KnownFile("detectron2://R-101", f"{_DETECTRON2}/MSRA/R-101.pkl"),
    KnownFile("detectron2://X-101-32x8d", f"{_DETECTRON2}/FAIR/X-101-32x8d.pkl"),
    KnownFile("swin://swin_tiny_patch4_window7_224", f"{_SWIN}/swin_tiny_patch4_window7_224.pth"),
    _mmdet("gfl_r50_1x_coco_batch16", "gfl/gfl_r50_fpn_1x_coco", "_20200629_121244-25944287"),
    _mmdet("gfl_r50_ms_2x_coco", "gfl/gfl_r50_fpn_mstrain_2x_coco", "_20200629_213802-37bb1edc"),
    _mmdet("gfl_r101_ms_2x_coco", "gfl/gfl_r101_fpn_mstrain_2x_coco", "_20200629_200126-dd12f847"),
    _mmdet(
        "gfl_r101dcn_ms_2x_coco", "gfl/gfl_r101_fpn_dconv_c3-c5_mstrain_2x_coco", "_20200630_102002-134b07df"
    ),
    _mmdet(
        "gfl_x101_32x4d_ms_2x_coco", "gfl/gfl_x101_32x4d_fpn_mstrain_2x_coco", "_20200630_102002-50c1ffdb"
    ),
    _mmdet(
        "gfl_x101_32x4d_dcn_ms_2x_coco",
        "gfl/gfl_x101_32x4d_fpn_dconv_c4-c5_mstrain_2x_coco",
        "_20200630_102002-14a2bf25",
    ),
    _mmdet("atss_r50_1x_coco", "atss/atss_r50_fpn_1x_coco", "_20200209-985f7bd0"),
    _mmdet("atss_r101_1x_coco", "atss/atss_r101_fpn_1x_coco", "atss_r101_fpn_1x_20200825-dfcadd6f"),
    _mmdet("retinanet_r50_1x_coco", "retinanet/retinanet_r50_fpn_1x_coco", "_20200130-c2398f9e"),
    _mmdet("retinanet_r50_2x_coco", "retinanet/retinanet_r50_fpn_2x_coco", "_20200131-fdb43119"),
    _mmdet("retinanet_r101_1x_coco", "retinanet/retinanet_r101_fpn_1x_coco", "_20200130-7a93545f"),
    _mmdet("retinanet_r101_2x_coco", "retinanet/retinanet_r101_fpn_2x_coco", "_20200131-5560aee8"),
    _mmdet(
        "retinanet_x101_64x4d_1x_coco", "retinanet/retinanet_x101_64x4d_fpn_1x_coco", "_20200130-366f5af1"
    ),
    _mmdet("faster_rcnn_r50_1x_coco", "faster_rcnn/faster_rcnn_r50_fpn_1x_coco", "_20200130-047c8118"),
    _mmdet(
        "faster_rcnn_r50_2x_coco",
        "faster_rcnn/faster_rcnn_r50_fpn_2x_coco",
        "_bbox_mAP-0.384_20200504_210434-a5d8aa15",
    ),
    _mmdet("faster_rcnn_r101_1x_coco", "faster_rcnn/faster_rcnn_r101_fpn_1x_coco", "_20200130-f513f705"),
    _mmdet(
        "faster_rcnn_r101_2x_coco",
        "faster_rcnn/faster_rcnn_r101_fpn_2x_coco",
        "_bbox_mAP-0.398_20200504_210455-1d2dac9c",
    ),
    _mmdet("mask_rcnn_r50_1x_coco", "mask_rcnn/mask_rcnn_r50_fpn_1x_coco", "_20200205-d4b0c5d6"),
    _mmdet("mask_rcnn_r101_1x_coco", "mask_rcnn/mask_rcnn_r101_fpn_1x_coco", "_20200204-1efe0ed5"),
    _mmdet("fcos_r50_1x_coco", "fcos/fcos_r50_caffe_fpn_gn-head_1x_coco", "-821213aa"),
    _mmdet("fcos_r50_ms_2x_coco", "fcos/fcos_r50_caffe_fpn_gn-head_mstrain_640-800_2x_coco", "-d92ceeea"),
    _mmdet("fcos_r101_1x_coco", "fcos/fcos_r101_caffe_fpn_gn-head_1x_coco", "-0e37b982"),
    _mmdet("fcos_r101_ms_2x_coco", "fcos/fcos_r101_caffe_fpn_gn-head_mstrain_640-800_2x_coco", "-511424d6"),
)


def weights_folder() -> Path:
    """Where files for "torchvision://name" are looked for: $JLD_WEIGHTS, else ~/.cache/jld/weights."""
    return Path(os.environ.get("JLD_WEIGHTS") or Path.home() / ".cache" / "jld" / "weights")


def known_file(name: str) -> KnownFile | None:
    """The published file of a name, with or without its scheme, of its place, or of any address."""
    places = (name, str(Path(name)))
    for known in KNOWN_FILES:
        if name in (known.name, known.name.partition("://")[2]) or str(known.place) in places:
            return known
    if address := re.match(r"https?:/+(?=.)", name):  # a Path has squeezed the slashes
        url = f"{address[0].partition(':')[0]}://{name[address.end() :]}"
        named = re.search(r"-([0-9a-f]{8,64})\.\w+$", url)
        return KnownFile(url, url, named[1] if named else "")
    return None


def obtain(name: str) -> Path:
    """The file of a known name on this machine, fetched where it is not there.

    Raises:
        CheckpointError: an unknown name (says the nearest), or see `download`.
    """
    known = known_file(name)
    if known is None:
        names = [each.name.rpartition("://")[2] for each in KNOWN_FILES]
        raise CheckpointError(f"no weights are known as {name!r}: {suggestion(name, names)}")
    return known.place if known.place.is_file() else download(known.url, known.place, known.sha256)


def available(name: str | Path) -> Path | None:
    """The file of a known name: as it lies there, or fetched if that was asked for; otherwise None.

    Args:
        name: as a config writes it: "scheme://name" or the path of a teacher's weights.
    """
    known = known_file(str(name))
    if known is None:
        return None
    if known.place.is_file():
        return known.place
    return obtain(known.name) if os.environ.get("JLD_DOWNLOAD") == "1" else None


def how_to_get(name: str | Path) -> str:
    """The end of a sentence about missing weights: address, what to type, and place; "" if unknown."""
    known = known_file(str(name))
    if known is None:
        return ""
    return (
        f"; it is {known.url}: `jld download {known.name}` or the flag --download fetches it, or put it to "
        f"{known.place}"
    )
