"""Datasets, transforms and the loader: numpy and OpenCV only, so that workers start without Jittor."""

from jld.data.check import check_dataset, require_sound
from jld.data.coco import COCODataset
from jld.data.collate import collate
from jld.data.dataset import DetectionDataset
from jld.data.drawn import DrawnDataset
from jld.data.image_folder import ImageFolder
from jld.data.images import BrokenImageError
from jld.data.loader import DataLoader
from jld.data.problems import Problem
from jld.data.subset import DatasetSlice
from jld.data.transforms import Compose, Normalize, Pad, RandomFlip, Resize
from jld.data.voc import VOCDataset

__all__ = [
    "BrokenImageError",
    "COCODataset",
    "Compose",
    "DataLoader",
    "DatasetSlice",
    "DetectionDataset",
    "DrawnDataset",
    "ImageFolder",
    "Normalize",
    "Pad",
    "Problem",
    "RandomFlip",
    "Resize",
    "VOCDataset",
    "check_dataset",
    "collate",
    "require_sound",
]
