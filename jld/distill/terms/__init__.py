"""Distillation terms, one file per method; importing this package registers them."""

from jld.distill.terms.bckd import BCKD
from jld.distill.terms.classification_kd import ClassificationKD
from jld.distill.terms.cross_kd import CrossKD
from jld.distill.terms.cross_roi_kd import CrossRoIKD
from jld.distill.terms.cwd import CWD
from jld.distill.terms.defeat import DeFeat
from jld.distill.terms.fbkd import FBKD
from jld.distill.terms.feature_imitation import FeatureImitation
from jld.distill.terms.fgd import FGD
from jld.distill.terms.fgfi import FGFI
from jld.distill.terms.gid import GID
from jld.distill.terms.global_knowledge import GlobalKnowledge, RobustFeatures, RobustLabels
from jld.distill.terms.instance_relations import InstanceRelations
from jld.distill.terms.instructive_mse import InstructiveMSE
from jld.distill.terms.localization_kd import LocalizationKD
from jld.distill.terms.mgd import MGD
from jld.distill.terms.pfi import PFI
from jld.distill.terms.pkd import PKD
from jld.distill.terms.rank_mimicking import RankMimicking

__all__ = [
    "BCKD",
    "CWD",
    "FBKD",
    "FGD",
    "FGFI",
    "GID",
    "MGD",
    "PFI",
    "PKD",
    "ClassificationKD",
    "CrossKD",
    "CrossRoIKD",
    "DeFeat",
    "FeatureImitation",
    "GlobalKnowledge",
    "InstanceRelations",
    "InstructiveMSE",
    "LocalizationKD",
    "RankMimicking",
    "RobustFeatures",
    "RobustLabels",
]
