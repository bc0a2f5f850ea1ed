"""Pictures of what a teacher hands over: regions of a step, edge distributions and maps of both networks.

Runs one image at a time through student and teacher; `jld.visualization` draws the arrays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from jld.apis.registration import register_parts
from jld.boxes.places import on_grid
from jld.checkpoint import read_training_state
from jld.config import Config, fill_defaults, prepare_config
from jld.data import collate
from jld.data.transforms import Sample
from jld.distill import Step, StepContext, build_distiller
from jld.distill.distiller import named_regions
from jld.errors import ConfigError, suggestion
from jld.models import InputStatistics, Targets, build_detector, load_weights
from jld.models.normalisation import pixels_of
from jld.models.trace import Trace
from jld.registry import REGIONS
from jld.runner.parts import build_datasets
from jld.runner.state import restore_modules
from jld.toolchain import jittor as jt
from jld.visualization.distributions import draw_edge_distributions
from jld.visualization.features import draw_features
from jld.visualization.regions import draw_regions


@dataclass(frozen=True)
class DistillationPicture:
    """What distillation sees in one image.

    Attributes:
        img_id: of the dataset.
        regions: uint8 [h, w, 3] BGR: every region over the image, per level and merged.
        edges: uint8 [h, w, 3] BGR: edge distributions of some objects; None where no object has a positive
            or the head predicts no distributions of edges.
        features: uint8 [h, w, 3] BGR: feature maps of every level of the student and the teacher, and their
            difference; None where the two have another number of levels.
        counts: {region: number of priors in it}.
    """

    img_id: Any
    regions: np.ndarray
    edges: np.ndarray | None
    features: np.ndarray | None
    counts: dict[str, int]


def draw_distillation(
    config: str | Path | Mapping[str, Any],
    checkpoint: str | Path | None = None,
    *,
    split: str = "val",
    num_images: int = 8,
    regions: Sequence[str] = (),
    num_boxes: int = 4,
    temperature: float = 1.0,
) -> Iterator[DistillationPicture]:
    """Draws regions and edge distributions on the first images of a dataset.

    Args:
        config: config file, or a prepared config. With `distill` its teacher and regions are drawn.
        checkpoint: weights of the student; None keeps the initial ones (the regions main and vlr depend on
            no weights). A teacher that learns, such as a label-guided one, needs the training state.
        split: train, val or test; images pass its transforms.
        num_images: how many images at most.
        regions: regions to draw beside those of `distill`; needed where the config has no `distill`.
        num_boxes: objects per image whose edges are drawn, those that the teacher (without one: the
            student) is surest of.
        temperature: softens the drawn distributions; 1 shows what decodes the boxes.
    Yields:
        One DistillationPicture per image.
    Raises:
        ConfigError: no such split, unknown regions, nothing to draw, or teacher and student do not fit.
        CheckpointError, DataError: weights or images that cannot be read.
    Example:
        for picture in draw_distillation("configs/quick_start/ld_gfl_student.py", "last.pkl", num_images=2):
            write_image(f"{picture.img_id}.png", picture.regions)
    """
    register_parts()
    config = prepare_config(config) if isinstance(config, str | Path) else fill_defaults(config)
    sections = config.dataset
    if sections.get(split) is None:
        raise ConfigError(f"the config has no dataset.{split}: {suggestion(split, sections)}")
    dataset = build_datasets(sections, (split,))[0][split]
    statistics = InputStatistics.from_config({"dataset": {split: sections[split]}})
    step = _Step(config, checkpoint, regions, statistics, dataset.classes)
    for index in range(min(num_images, len(dataset))):
        sample = dataset.get(index, np.random.default_rng([config.seed, index]))
        yield step.draw(sample, dataset.classes, num_boxes, temperature)


class _Step:
    """Student, teacher and regions of a config, ready to look at images."""

    def __init__(
        self,
        config: Config,
        checkpoint: str | Path | None,
        regions: Sequence[str],
        statistics: InputStatistics | None,
        classes: Sequence[str],
    ):
        self.student = build_detector(config, pretrained=False)
        self.student.normalisation = self.statistics = statistics
        if checkpoint is not None:
            load_weights(self.student, checkpoint)
        # As in training: the teacher puts its classes in the order of the data.
        self.student.classes = self.student.classes or tuple(classes)
        self.student.eval()
        distiller = build_distiller(config.distill, self.student)
        if distiller is not None and distiller.teacher.modules():
            # Only the training itself has made this teacher what it is.
            if checkpoint is None:
                raise ConfigError(
                    "distill.teacher learns while it teaches: draw it from a training state, "
                    "--checkpoint <work_dir>/checkpoints/last.pkl."
                )
            restore_modules(distiller, read_training_state(checkpoint), Path(checkpoint))
        self.teacher = None if distiller is None else distiller.teacher
        known = {} if distiller is None else distiller.regions
        redefined = (config.distill or {}).get("regions")
        self.regions = (
            named_regions(redefined, [SimpleNamespace(regions=(name,)) for name in regions]) | known
        )
        for name in regions:
            if name not in self.regions:
                raise ConfigError(f"unknown region {name!r}: {suggestion(name, REGIONS.names())}")
        if not self.regions:
            raise ConfigError(
                "the config distils nothing, so there is no region to draw: name some (--regions main vlr)."
            )
        for name, region in self.regions.items():
            if self.teacher is None and hasattr(region, "requires"):
                raise ConfigError(f"the region {name!r} compares two networks: add distill.teacher.")

    def draw(
        self, sample: Sample, classes: Sequence[str], num_boxes: int, temperature: float
    ) -> DistillationPicture:
        """Both pictures of one sample."""
        batch = collate([sample])
        image = pixels_of(sample["image"], self.statistics)
        with jt.no_grad():
            context, traces = self._context(batch)
            weights = {name: context.region(name).numpy()[0] for name in self.regions}
        counts = {name: int(np.count_nonzero(values)) for name, values in weights.items()}
        # Where regions meet the later one is drawn on top.
        weights = {name: weights[name] for name in sorted(weights, key=lambda name: -counts[name])}
        places = on_grid(context.places)
        overlay = draw_regions(
            image,
            weights,
            places.level_sizes,
            places.level_strides,
            gt_boxes=sample["boxes"],
            num_per_cell=places.num_per_cell,
            center_offset=self.student.interface.stage().center_offset,
            columns=2 if len(places.level_sizes) == 3 else 3,  # with the merged panel: no hole in the sheet
            panel_size=(480, 720),
        )
        edges = self._draw_edges(context, image, sample, classes, num_boxes, temperature)
        maps = {name: [level.numpy()[0] for level in trace.features] for name, trace in traces.items()}
        strides = traces["student"].strides
        same = len({len(levels) for levels in maps.values()}) == 1
        features = draw_features(image, maps, strides) if same else None
        return DistillationPicture(sample["img_id"], overlay, edges, features, counts)

    def _context(self, batch: dict[str, Any]) -> tuple[StepContext, dict[str, Trace]]:
        images, targets = jt.array(batch["images"]), Targets.from_batch(batch)
        features = self.student.features(images)
        traces = {"student": self.student.predict(features, targets)}
        step = Step(images, targets, self.student, features, traces["student"])
        if self.teacher is not None:
            traces["teacher"] = self.teacher(step)
        return StepContext(step, traces.get("teacher"), self.regions), traces

    def _draw_edges(
        self,
        context: StepContext,
        image: np.ndarray,
        sample: Sample,
        classes: Sequence[str],
        num_boxes: int,
        temperature: float,
    ) -> np.ndarray | None:
        stages = {"student": context.student}
        if self.teacher is not None:
            stages["teacher"] = context.teacher
        # Deltas of rotated boxes [N, P, 5, B] are no distances of edges, which is what the picture shows.
        box_logits = [stage.predictions.get("box_logits") for stage in stages.values()]
        if any(each is None or each.shape[2] != 4 for each in box_logits):
            return None
        scores = {name: stage.probabilities().numpy()[0] for name, stage in stages.items()}  # [P, C]
        owners = context.assignment.gt_index.numpy()[0]
        chosen = surest_positives(
            owners, sample["labels"], scores.get("teacher", scores["student"]), num_boxes
        )
        if not len(chosen):
            return None
        logits = {name: stage.predictions["box_logits"].numpy()[0][chosen] for name, stage in stages.items()}
        boxes, labels = sample["boxes"][owners[chosen]], sample["labels"][owners[chosen]]
        strides = context.places.strides.numpy()[0][chosen]
        titles = []
        for prior, label, stride in zip(chosen, labels, strides, strict=True):
            sure = ", ".join(f"{name} {values[prior, label]:.2f}" for name, values in scores.items())
            titles.append(f"{classes[label]} (stride {stride:.0f} px), score:\n{sure}")
        centers = context.places.centers.numpy()[0][chosen]
        return draw_edge_distributions(
            image, centers, strides, logits, gt_boxes=boxes, temperature=temperature, titles=titles
        )


def surest_positives(owners: np.ndarray, labels: np.ndarray, scores: np.ndarray, count: int) -> np.ndarray:
    """For each of the objects with the highest scores, its best positive prior.

    Args:
        owners: [P] object of each positive, negative elsewhere.
        labels: [G] classes of the objects.
        scores: [P, C].
        count: objects at most.
    Returns:
        [K] priors, surest first, one per object.
    """
    positives = np.flatnonzero(owners >= 0)
    order = positives[np.argsort(-scores[positives, labels[owners[positives]]], kind="stable")]
    # The first position of each object among the sorted priors is its best one.
    firsts = np.unique(owners[order], return_index=True)[1]
    return order[np.sort(firsts)[:count]]
