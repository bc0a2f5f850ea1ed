"""Who learns what: assigners match priors with ground truth."""

from jld.assign.assignment import Assignment, make_assignment
from jld.assign.atss import ATSSAssigner
