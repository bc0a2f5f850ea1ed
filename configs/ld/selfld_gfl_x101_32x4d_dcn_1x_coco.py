"""Self-LD on GFL: X-101-32x4d-DCN from X-101-32x4d-DCN, main region only, 1x, COCO. The teacher is the same
architecture, trained normally beforehand and frozen (self-LD of the paper).

Command: python tools/run_net.py --config-file=configs/ld/selfld_gfl_x101_32x4d_dcn_1x_coco.py --task=train
Published: val AP 47.5, AP50 65.8, AP75 51.8 (README table of HikariTJU/LD; mini-batch 4).
Measured with jld: not measured. Memory, time: not measured.
Differs: no config was released for this row; settings as the light-weight rows.
"""

_base_ = ["../gfl/gfl_x101_32x4d_dcn_1x_coco.py", "../_base_/distill/main_ld_batch16.py"]

distill = dict(
    teacher=dict(config="configs/gfl/gfl_x101_32x4d_dcn_1x_coco.py", checkpoint="weights/gfl_x101_32x4d_dcn_1x_coco.pth")
)
published = dict(row="ld-coco-self-x101-32x4d-dcn")
