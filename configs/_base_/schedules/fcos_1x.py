"""12 epochs at lr 0.01 for 16 images a step; biases but those of normalisations at twice the rate without decay."""

_base_ = "schedule_1x.py"

optimizer = dict(
    parameter_groups=[dict(match="*.bias", but_not=["*.gn.*", "backbone.*"], lr_mult=2.0, decay_mult=0.0)]
)
scheduler = dict(warmup_ratio=1 / 3)
