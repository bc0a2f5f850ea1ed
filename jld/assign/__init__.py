"""Who learns what: assigners match priors with ground truth, regions choose priors for distillation."""

from jld.assign import regions
from jld.assign.assignment import Assignment, make_assignment
from jld.assign.atss import ATSSAssigner, atss_thresholds
from jld.assign.fcos import FCOSAssigner
from jld.assign.max_iou import MaxIoUAssigner
from jld.assign.overlaps import HorizontalOverlap, RotatedOverlap
from jld.assign.sampling import RandomSampler, Sample, SpreadSampler
