"""LD on GFL, main region only: R-101 from R-101-DCN, 2x, multi-scale, COCO (light-weight table).

Command: python tools/run_net.py --config-file=configs/ld/ld_gfl_r101_from_r101dcn_2x_coco.py --task=train
Published: val AP 45.4, AP50 63.1, AP75 49.5 (README table of HikariTJU/LD).
Measured with jld: not measured. Memory, time: not measured.
Differs: the released config leaves VLR LD and main KD at their class defaults, so it trains more than this
row says; here only main LD is on. The released sum over locations at 3 images per GPU is written as a mean
per image times 3, equal for any batch and device count.
"""

_base_ = ["../gfl/gfl_r101_2x_coco.py", "../_base_/distill/main_ld.py"]

distill = dict(
    teacher=dict(config="configs/gfl/gfl_r101dcn_ms_2x_coco.py", checkpoint="weights/gfl_r101dcn_ms_2x_coco.pth")
)
published = dict(row="ld-coco-r101-from-r101dcn-2x")
