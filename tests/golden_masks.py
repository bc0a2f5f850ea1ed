"""Masks of the golden files: packed bits and polygons."""

from __future__ import annotations

import numpy as np

from jld.data.instance_masks import PolygonMasks


def unpacked(meta: dict, arrays: dict, key: str) -> np.ndarray:
    """[n, h, w] uint8 of a key in `meta["packed"]`."""
    count, height, width = meta["packed"][key]
    bits = np.unpackbits(arrays[key], axis=1)[:, : height * width]
    return bits.reshape(count, height, width)


def polygons(arrays: dict, image: int, size: tuple[int, int]) -> PolygonMasks:
    """The objects of `in/gt_polygons/<image>`."""
    key = f"in/gt_polygons/{image}"
    ends = np.cumsum(arrays[f"{key}/lengths"])[:-1]
    flat = np.split(arrays[f"{key}/xy"], ends) if len(arrays[f"{key}/lengths"]) else []
    parts = iter(part.reshape(-1, 2) for part in flat)
    return PolygonMasks.of([[next(parts) for _ in range(n)] for n in arrays[f"{key}/parts"]], size=size)
