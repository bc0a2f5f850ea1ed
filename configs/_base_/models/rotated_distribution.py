"""Rotated heads with a distribution over 9 values for each of the five deltas (arXiv:2204.05957, released ranges).

Goes on top of a rotated model. Without a loss of its own: the box loss trains the expectations.
"""

model = dict(bbox_head=dict(reg_max=8, delta_range=[-2.0, 2.0], angle_range=[-5.0, 2.0]))
