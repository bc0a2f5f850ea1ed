"""LD on GFL, main region only: R-50 from R-101, 1x, COCO (light-weight table).

Command: python tools/run_net.py --config-file=configs/ld/ld_gfl_r50_from_r101_1x_coco.py --task=train
Published: val AP 41.1, AP50 58.7, AP75 44.9 (README table of HikariTJU/LD).
Measured with jld: not measured. Memory, time: not measured.
Differs: the released config adds VLR LD, main KD and fine-grained imitation, so it trains more than this
row says; here only main LD is on. The released sum over locations at 3 images per GPU is written as a mean
per image times 3, equal for any batch and device count.
"""

_base_ = ["../gfl/gfl_r50_1x_coco.py", "../_base_/distill/main_ld.py"]

distill = dict(
    teacher=dict(config="configs/gfl/gfl_r101_ms_2x_coco.py", checkpoint="weights/gfl_r101_ms_2x_coco.pth")
)
published = dict(row="ld-coco-r50-from-r101-1x")
