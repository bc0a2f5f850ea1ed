"""GFLv2 R-50, 2x, multi-scale 480-960, COCO: a baseline.

Command: python tools/run_net.py --config-file=configs/gflv2/gflv2_r50_2x_coco.py --task=train
Published: test-dev AP 44.4, AP50 62.3, AP75 48.5 (GFLv2 table of HikariTJU/LD's README, later removed).
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = [
    "../_base_/models/gflv2_r50_fpn.py",
    "../_base_/datasets/coco_multiscale_960.py",
    "../_base_/schedules/schedule_2x.py",
]

published = dict(row="ld-gflv2-r50-2x-testdev")
