"""GFL R-50, 1x, COCO: the row without a teacher in the table of feature imitation.

Command: python tools/run_net.py --config-file=configs/imitation/none_gfl_r50_1x_coco.py --task=train
Published: val AP 40.1, AP50 58.2, AP75 43.1 (README table of HikariTJU/LD; logit mimicking versus feature
imitation).
Measured with jld: not measured. Memory, time: not measured.
Differs: the same model and schedule as configs/gfl/gfl_r50_1x_coco.py, with 4 images a step like the
distilled students of its table; the batch of the published run was not printed for this table.
"""

_base_ = [
    "../_base_/models/gfl_r50_fpn.py",
    "../_base_/datasets/coco_detection.py",
    "../_base_/schedules/schedule_1x.py",
]

dataset = dict(train=dict(batch_size=4))
optimizer = dict(lr=0.0025)  # 4 images a step: 4/16 of 0.01
published = dict(row="ld-coco-imitation-none-r50-1x")
