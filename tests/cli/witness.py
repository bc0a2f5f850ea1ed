"""A hook that writes down what a rank has seen: the RoIs of every image, and the prototypes it was given."""

import os
import signal

import numpy as np

from jld.models.trace import ROI
from jld.registry import HOOKS
from jld.runner.hooks import Hook
from jld.utils.distributed import rank


@HOOKS.register
class Witness(Hook):
    """Args: stop: rank 1 asks the launcher, by SIGUSR1 in its first step, to have the job ended."""

    def __init__(self, stop: bool = False):
        self.stop, self.seeds, self.boxes, self.objects = stop, [], [], []

    def before_training(self, loop):
        losses = loop.detector.losses

        def seen(trace, targets):
            roi = trace.stages[ROI]
            self.seeds.append(targets.seeds)
            self.boxes.append(roi.places.boxes.detach())
            self.objects.append(roi.assigned.gt_index)
            return losses(trace, targets)

        loop.detector.losses = seen
        terms = [] if loop.distiller is None else loop.distiller.terms
        for made in {id(term.prototypes): term.prototypes for term in terms}.values():
            arrays = {"student": made.student, "teacher": made.teacher, "mask": made.mask}
            np.savez(loop.work_dir / f"prototypes_{rank()}.npz", **arrays)

    def before_step(self, loop):
        if self.stop and rank() == 1 and loop.iteration == 0:
            os.kill(os.getppid(), signal.SIGUSR1)

    def after_training(self, loop):
        arrays = {
            name: np.concatenate([var.numpy() for var in getattr(self, name)])
            for name in ("seeds", "boxes", "objects")
        }
        np.savez(loop.work_dir / f"rois_{rank()}.npz", **arrays)
