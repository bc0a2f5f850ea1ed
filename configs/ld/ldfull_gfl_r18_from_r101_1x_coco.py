"""Main KD + main LD + VLR LD on GFL (the paper's "Ours"): R-18 from R-101, 1x, COCO.

Command: python tools/run_net.py --config-file=configs/ld/ldfull_gfl_r18_from_r101_1x_coco.py --task=train
Published: val AP 37.5 (README table of HikariTJU/LD; released weights).
Measured with jld: not measured. Memory, time: not measured.
Differs: Sums over locations at 3 images per GPU are written as means per image times 3; VLR is gated by IoF
as in the released code (region option gate="diou" gives the paper's).
"""

_base_ = ["../gfl/gfl_r18_1x_coco.py", "../_base_/distill/full.py"]

distill = dict(
    teacher=dict(config="configs/gfl/gfl_r101_ms_2x_coco.py", checkpoint="weights/gfl_r101_ms_2x_coco.pth")
)
published = dict(row="ld-coco-ours-r18-from-r101-1x")
