"""Distillation regions: which priors a term looks at, and with which soft weight.

A region is a pure function of a context (priors, targets, assignment, valid mask; `gi` also of both
predictions) to weights [N, P], 0 outside. Regions need no positives, and an image without objects is an
ordinary case.

A region may declare `num_sides`, the numbers per box it understands (4: corners, 5: rotated boxes; absent: it
reads no boxes), `requires`, the keys of `predictions` it reads of both networks, and `needs_grid`: it reads
cells of a pyramid, so the places cannot be RoIs. All are checked before training.
"""

from jld.assign.regions.everywhere import All
from jld.assign.regions.fcos import FCOSValuableRegion
from jld.assign.regions.fine_grained import FineGrained
from jld.assign.regions.general_instance import GeneralInstance
from jld.assign.regions.inside_gt import Background, InsideGT
from jld.assign.regions.main import MainRegion
from jld.assign.regions.own_level import FineGrainedOwnLevel, InsideOwnLevel
from jld.assign.regions.rotated import (
    ReleasedRotatedFineGrained,
    ReleasedRotatedLDRegion,
    RotatedFineGrained,
    RotatedLDRegion,
)
from jld.assign.regions.valuable import ValuableLocalizationRegion
