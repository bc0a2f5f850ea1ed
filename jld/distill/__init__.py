"""Distillation by composition: a teacher, regions, and terms that read student and teacher traces."""

import jld.assign
import jld.distill.terms
from jld.distill.context import StepContext
from jld.distill.distiller import Distiller, Lesson, build_distiller
from jld.distill.teachers import FrozenTeacher, InputStatistics

__all__ = ["Distiller", "FrozenTeacher", "InputStatistics", "Lesson", "StepContext", "build_distiller"]
