"""Self-LD on GFL: R-50 from R-50, main region only, 1x, COCO. The teacher is the same architecture, trained
normally beforehand and frozen (self-LD of the paper).

Command: python tools/run_net.py --config-file=configs/ld/selfld_gfl_r50_1x_coco.py --task=train
Published: val AP 40.6, AP50 58.2, AP75 43.8 (README table of HikariTJU/LD; mini-batch 6).
Measured with jld: not measured. Memory, time: not measured.
Differs: no config was released for this row; settings as the light-weight rows.
"""

_base_ = ["../gfl/gfl_r50_1x_coco.py", "../_base_/distill/main_ld.py"]

distill = dict(
    teacher=dict(config="configs/gfl/gfl_r50_1x_coco.py", checkpoint="weights/gfl_r50_1x_coco.pth")
)
published = dict(row="ld-coco-self-r50")
