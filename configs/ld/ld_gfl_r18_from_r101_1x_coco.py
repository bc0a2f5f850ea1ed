"""LD on GFL, main region only: R-18 from R-101, 1x, COCO (light-weight table).

Command: python tools/run_net.py --config-file=configs/ld/ld_gfl_r18_from_r101_1x_coco.py --task=train
Published: val AP 36.5, AP50 52.9, AP75 39.3 (README table of HikariTJU/LD).
Measured with jld: not measured. Memory, time: not measured.
Differs: the released config leaves VLR LD and main KD at their class defaults, so it trains more than this
row says; here only main LD is on. The released sum over locations at 3 images per GPU is written as a mean
per image times 3, equal for any batch and device count.
"""

_base_ = ["../gfl/gfl_r18_1x_coco.py", "../_base_/distill/main_ld.py"]

distill = dict(
    teacher=dict(config="configs/gfl/gfl_r101_ms_2x_coco.py", checkpoint="weights/gfl_r101_ms_2x_coco.pth")
)
published = dict(row="ld-coco-r18-from-r101-1x")
