"""LD on GFL, main region only: R-101 from R-101-DCN, 4 epochs of three passes, VOC 07+12.

Command: python tools/run_net.py --config-file=configs/ld/ld_gfl_r101_from_r101dcn_4e_voc.py --task=train
Published: VOC07 test AP 58.4, AP50 80.2, AP75 63.7 (README table of HikariTJU/LD).
Measured with jld: not measured. Memory, time: not measured.
Differs: no config was released for this row; sums over locations at 3 images per GPU are written as means
per image times 3.
"""

_base_ = ["../gfl/gfl_r101_4e_voc.py", "../_base_/distill/main_ld.py"]

distill = dict(
    teacher=dict(config="configs/gfl/gfl_r101dcn_16e_voc.py", checkpoint="weights/gfl_r101dcn_16e_voc.pth")
)
published = dict(row="ld-voc-r101-from-r101dcn")
