"""LGD: a teacher made of labels, which paints the maps that the student's own head should have seen."""

from jld.distill.label_guided.teacher import LabelGuidedTeacher

__all__ = ["LabelGuidedTeacher"]
