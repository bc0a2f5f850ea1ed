"""LD on GFLv2, main region only: R-101-DCN from Res2Net-101-DCN, 2x, multi-scale 480-960, COCO.

Command: python tools/run_net.py --config-file=configs/ld/ld_gflv2_r101dcn_from_r2n101dcn_2x_coco.py --task=train
Published: test-dev AP 49.1, AP50 67.1, AP75 53.7 (GFLv2 table of HikariTJU/LD's README, later removed).
Measured with jld: not measured. Memory, time: not measured.
Differs: the released config of this row was removed; its settings (16 images on 8 GPUs, GIoU, distribution
focal loss kept) are taken from the repository's history. The sum over locations at 2 images per GPU is
written as a mean per image times 2, equal for any batch and device count.
"""

_base_ = ["../gflv2/gflv2_r101dcn_2x_coco.py", "../_base_/distill/main_ld_batch16.py"]

distill = dict(
    teacher=dict(config="configs/gflv2/gflv2_r2n101dcn_2x_coco.py", checkpoint="weights/gflv2_r2n101dcn_2x_coco.pth")
)
published = dict(row="ld-gflv2-r101dcn-from-r2n101dcn-2x-testdev")
