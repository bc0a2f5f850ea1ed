"""From detections in the images of an aerial dataset to whole images and result zips."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

from jld.boxes.detections import Detections
from jld.data.dota.layout import Layout
from jld.data.dota.submission import check_submission, write_submission
from jld.data.dota.views import OrientedViews, Views
from jld.utils.logging import get_logger


class DotaResults(OrientedViews):
    """Mixin of datasets with a `layout`: patches are merged, results are the zips of DOTA's server."""

    image_ids: Sequence[str]
    layout: Layout

    def with_classes(self, names: Sequence[str], sources: Sequence[int]) -> Self:
        """See `Dataset`."""
        other = super().with_classes(names, sources)  # type: ignore[misc]  # of the dataset it is mixed into
        other.layout = self.layout.with_classes(names, sources)
        return other

    def to_whole(self, detections: Sequence[Detections], views: Views | None = None) -> list[Detections]:
        """Detections of the whole images behind the patches, see `jld.data.dota.merge_patches`."""
        return self.layout.merge(detections, (views or Views()).iou_threshold)

    def result_problems(self) -> list[str]:
        """See `Dataset`: names that a result file cannot hold."""
        return self.layout.unwritable_names(self.image_ids)

    def write_results(self, detections: Sequence[Detections], folder: Path) -> Path:
        """Task1.zip (oriented) and Task2.zip (the upright boxes around them), checked as the server would.

        Raises:
            DataError: the server would refuse them, as it does detections of patches.
        """
        image_ids = {self.layout.whole_id(image_id) for image_id in self.image_ids}
        names = self.layout.label_names
        for task in (2, 1):
            path = write_submission(folder / f"Task{task}.zip", detections, names, task=task)
            report = check_submission(path, image_ids, names, task=task)
            report.raise_errors(str(path))
        get_logger("run").info(
            "%s: %d detections in %d of %d images%s",
            path,
            sum(report.num_detections.values()),
            report.num_images,
            len(image_ids),
            "".join(f"; {problem}" for problem in report.problems),
        )
        return path
