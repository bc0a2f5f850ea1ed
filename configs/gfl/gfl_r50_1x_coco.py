"""GFL R-50, 1x, COCO: the baseline row of the light-weight LD table.

Command: python tools/run_net.py --config-file=configs/gfl/gfl_r50_1x_coco.py --task=train
Published: val AP 40.1, AP50 58.2, AP75 43.1 (README table of HikariTJU/LD).
Measured with jld: not measured. Memory, time: not measured.
Differs: box loss is GIoU, as in the LD students and in mmDetection; the repository's own GFL baselines were
switched to CIoU in 2021.
"""

_base_ = [
    "../_base_/models/gfl_r50_fpn.py",
    "../_base_/datasets/coco_detection.py",
    "../_base_/schedules/schedule_1x.py",
]

dataset = dict(train=dict(batch_size=6))
optimizer = dict(lr=0.00375)  # 6 images a step: 6/16 of 0.01
published = dict(row="ld-coco-r50-1x")
