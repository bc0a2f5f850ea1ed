"""Distillation by composition: a teacher, regions, and terms that read student and teacher traces."""

import sys

import jld
import jld.assign
import jld.distill.terms
from jld.distill.context import StepContext
from jld.distill.distiller import Distiller, Lesson, build_distiller
from jld.distill.label_guided import LabelGuidedTeacher
from jld.distill.start import init_from_teacher
from jld.distill.step import Step
from jld.distill.teachers import FrozenTeacher, Teacher

__all__ = [
    "Distiller",
    "FrozenTeacher",
    "LabelGuidedTeacher",
    "Lesson",
    "Step",
    "StepContext",
    "Teacher",
    "build_distiller",
    "init_from_teacher",
]

# `jld.distill(student, teacher)`: a package and a function cannot both have the name.
sys.modules[__name__].__class__ = jld.DistillPackage
