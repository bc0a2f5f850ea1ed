"""Datasets, transforms and the loader: numpy and OpenCV only, so that workers start without Jittor."""

from jld.data.check import check_dataset, require_sound
from jld.data.coco import COCODataset
from jld.data.collate import collate
from jld.data.crowdhuman import CrowdHumanDataset
from jld.data.dataset import Dataset, DetectionDataset
from jld.data.dota_dataset import DOTADataset
from jld.data.drawn import DrawnDataset
from jld.data.drawn_oriented import DrawnOrientedDataset
from jld.data.image_dataset import ImageDataset
from jld.data.image_folder import ImageFolder
from jld.data.images import BrokenImageError, ImageReader
from jld.data.jdet_dataset import JDetDataset
from jld.data.label_sources import LabelSource
from jld.data.loader import DataLoader
from jld.data.oriented import OrientedDataset
from jld.data.photometric import ColorJitter, RandomInvert
from jld.data.problems import Problem
from jld.data.rotated_transforms import (
    PolyRandomRotate,
    RandomRotateAug,
    RotatedRandomCrop,
    RotatedRandomFlip,
    RotatedResize,
)
from jld.data.transforms import Compose, Normalize, Pad, RandomFlip, Resize
from jld.data.voc import VOCDataset
from jld.data.yolo import YOLODataset

__all__ = [
    "BrokenImageError",
    "COCODataset",
    "ColorJitter",
    "Compose",
    "CrowdHumanDataset",
    "DOTADataset",
    "DataLoader",
    "Dataset",
    "DetectionDataset",
    "DrawnDataset",
    "DrawnOrientedDataset",
    "ImageDataset",
    "ImageFolder",
    "ImageReader",
    "JDetDataset",
    "LabelSource",
    "Normalize",
    "OrientedDataset",
    "Pad",
    "PolyRandomRotate",
    "Problem",
    "RandomFlip",
    "RandomInvert",
    "RandomRotateAug",
    "Resize",
    "RotatedRandomCrop",
    "RotatedRandomFlip",
    "RotatedResize",
    "VOCDataset",
    "YOLODataset",
    "check_dataset",
    "collate",
    "require_sound",
]
