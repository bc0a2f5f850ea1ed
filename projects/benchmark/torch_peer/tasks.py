"""The steps that are measured: training with distillation, training without, its stages, detection."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import torch

from .assignment import assign, valuable_region
from .detection import Selection, detections, find_suppression
from .losses import distillation_losses, task_losses, total
from .networks import Detector
from .scene import Scene, read_scene

# Random images say nothing about learning; a small rate keeps every value finite.
OPTIMIZER = {"lr": 1e-5, "momentum": 0.9, "weight_decay": 1e-4}


class Clock:
    """Times and CPU times in ms of named stages, each to the end of the device's work."""

    def __init__(self, device: str):
        self.wait = torch.cuda.synchronize if device == "cuda" else (lambda: None)
        self.times: dict[str, tuple[list[float], list[float]]] = {}

    def run(self, stage: str, function: Callable[[], Any]) -> Any:
        """`function()`, timed."""
        self.wait()
        start, cpu_start = time.perf_counter(), time.process_time()
        result = function()
        self.wait()
        end, cpu_end = time.perf_counter(), time.process_time()
        times, cpu_times = self.times.setdefault(stage, ([], []))
        times.append((end - start) * 1e3)
        cpu_times.append((cpu_end - cpu_start) * 1e3)
        return result


def untimed(stage: str, function: Callable[[], Any]) -> Any:
    """`function()`; what a whole step does with its stages."""
    return function()


class Training:
    """Steps of a student, with a teacher's help or without."""

    def __init__(self, scene: Scene):
        self.scene, self.student = scene, scene.student
        params = [parameter for parameter in self.student.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.SGD(params, **OPTIMIZER)
        self.scaler = torch.amp.GradScaler(scene.device, enabled=scene.half is torch.float16)

    def losses(self) -> dict[str, torch.Tensor]:
        """{name: scalar} of the batch."""
        return self._losses(untimed)

    def step(self) -> None:
        """One whole step with distillation."""
        self._update(self._losses(untimed), untimed)

    def plain_step(self) -> None:
        """One whole step without teacher and distillation."""
        images, targets = self.scene.images_on_device(), self.scene.targets()
        priors = self.scene.priors()
        outputs = self._forward(self.student, images)
        self._update(task_losses(outputs, priors, targets, assign(priors, targets)), untimed)

    def staged_step(self, run: Callable) -> None:
        """One step, every stage through `run(name, function)`."""
        self._update(self._losses(run), run)

    def _losses(self, run: Callable) -> dict[str, torch.Tensor]:
        scene, priors = self.scene, self.scene.priors()
        images, targets = run("batch to device", lambda: (scene.images_on_device(), scene.targets()))
        outputs = run("student forward", lambda: self._forward(self.student, images))
        wanted = run("teacher forward", lambda: self._teach(images))
        assignment = run("assignment", lambda: assign(priors, targets))
        losses = run("task losses", lambda: task_losses(outputs, priors, targets, assignment))
        region = run("distillation regions", lambda: valuable_region(priors, targets, assignment))
        terms = run(
            "distillation terms", lambda: distillation_losses(outputs, wanted, priors, assignment, region)
        )
        if run is not untimed:
            gradient = {"inputs": outputs, "retain_graph": True}
            run("distillation gradient", lambda: torch.autograd.grad(total(terms.values()), **gradient))
        return losses | terms

    @torch.no_grad()
    def _teach(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self._forward(self.scene.teacher, images)

    def _forward(self, detector: Detector, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Predictions in float32, whatever the network computed in."""
        half = self.scene.half
        with torch.autocast(self.scene.device, half, enabled=half is not None):
            outputs = detector(images)
        return tuple(output.float() for output in outputs)

    def _update(self, losses: Mapping[str, torch.Tensor], run: Callable) -> None:
        self.optimizer.zero_grad()
        run("backward", lambda: self.scaler.scale(total(losses.values())).backward())
        run("optimizer", self._step)

    def _step(self) -> None:
        self.scaler.step(self.optimizer)
        self.scaler.update()


class Tasks:
    """What every program can be asked for; subclasses add to it.

    Attributes:
        device: "cpu" or "cuda".
        product_side: rows of the square matrices whose product is measured.
        timed: {name: function}; each call is one measurement.
        staged: one step, every stage through `run(name, function)`; None: there are no stages.
        asked: {name: function of the request's options that returns the reply}.
        about: what belongs to the numbers, beside version and threads.
    """

    staged: Callable[[Callable], None] | None = None

    def __init__(self, device: str, product_side: int, about: Mapping[str, Any]):
        self.device, self.product_side, self.about = device, product_side, dict(about)
        self.timed: dict[str, Callable[[], Any]] = {"matrix product": lambda: self.factor @ self.factor}
        self.asked: dict[str, Callable[..., dict[str, Any]]] = {"memory": self._memory}

    @cached_property
    def factor(self) -> torch.Tensor:
        """A square float32 matrix, to be multiplied by itself."""
        return torch.rand(self.product_side, self.product_side, device=self.device)

    def answer(self, task: str, count: int = 1, **options: Any) -> dict[str, Any]:
        """The reply to one request, or {"times": {row: [[ms, ...], [CPU ms, ...]]}}.

        Args:
            task: a key of `timed` or `asked`, or "stages".
            count: repetitions of what is timed.
            options: of what is asked.
        """
        if task in self.asked:
            return self.asked[task](**options)
        clock = Clock(self.device)
        for _ in range(count):
            if task == "stages":
                self.staged(clock.run)
            else:
                clock.run(task, self.timed[task])
        return {"times": clock.times}

    def _memory(self) -> dict[str, float]:
        if self.device == "cpu":
            return {"host": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
        return {
            "allocated": torch.cuda.max_memory_allocated() / 2**20,
            "reserved": torch.cuda.max_memory_reserved() / 2**20,
        }


class DistillationTasks(Tasks):
    """GFL, trained with and without its teacher, and its detections.

    Attributes:
        suppression: what the last step of detection is done with.
        score_threshold: of detection.
    """

    def __init__(self, given: dict[str, Any]):
        scene = read_scene(given)
        self.scene, self.training = scene, Training(scene)
        self.score_threshold = Selection.score_threshold
        suppression_name, self.suppression = find_suppression()
        about = {
            "channels last": given["channels_last"],
            "suppression": suppression_name,
            "networks": "compiled" if given["compiled"] else "eager",
            "training in": str(scene.half or torch.float32).removeprefix("torch."),
        }
        super().__init__(scene.device, scene.product_side, about)
        self.staged = self.training.staged_step
        self.asked |= {"losses": self._losses, "detections": self._detections}
        self.timed |= {
            "step": self.training.step,
            "step without distillation": self.training.plain_step,
            "student forward + backward": self._network_gradient,
            "teacher forward": lambda: self._forward(scene.teacher, self.held_images),
            "image": self._detect,
            "network": lambda: self._forward(scene.student, scene.images_on_device()),
        }

    @cached_property
    def held_images(self) -> torch.Tensor:
        """The images, already on the device, for measurements of networks alone."""
        return self.scene.images_on_device()

    def _losses(self) -> dict[str, float]:
        return {name: value.item() for name, value in self.training.losses().items()}

    def _detections(self, score_threshold: float) -> dict[str, int]:
        self.score_threshold = score_threshold  # from now on
        return {"count": len(self._detect()[0][1])}

    @torch.no_grad()
    def _forward(self, detector: Detector, images: torch.Tensor) -> Any:
        return detector(images)

    def _network_gradient(self) -> Any:
        params = [parameter for parameter in self.scene.student.parameters() if parameter.requires_grad]
        outputs = self.scene.student(self.held_images)
        return torch.autograd.grad(total([(x * x).mean() for x in outputs]), params)

    @torch.no_grad()
    def _detect(self) -> list:
        scene = self.scene
        shapes, factors = (
            torch.from_numpy(scene.batch[key]).to(scene.device) for key in ("img_shapes", "scale_factors")
        )
        outputs = scene.student(scene.images_on_device())
        selection = Selection(self.score_threshold)
        return detections(outputs, scene.priors(), shapes, factors, selection, self.suppression)
