"""Distillation terms, one file per method; importing this package registers them."""

from jld.distill.terms.classification_kd import ClassificationKD
from jld.distill.terms.feature_imitation import FeatureImitation
from jld.distill.terms.localization_kd import LocalizationKD

__all__ = ["ClassificationKD", "FeatureImitation", "LocalizationKD"]
