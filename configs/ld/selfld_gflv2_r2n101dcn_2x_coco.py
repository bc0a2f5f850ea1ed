"""Self-LD on GFLv2, main region only: Res2Net-101-DCN from a separately trained network of the same kind, 2x,
multi-scale 480-960, COCO.

Command: python tools/run_net.py --config-file=configs/ld/selfld_gflv2_r2n101dcn_2x_coco.py --task=train
Published: test-dev AP 51.0, AP50 69.1, AP75 55.9 (GFLv2 table of HikariTJU/LD's README, later removed).
Measured with jld: not measured. Memory, time: not measured.
Differs: the released config of this row was removed; its settings (16 images on 8 GPUs, GIoU, distribution
focal loss kept) are taken from the repository's history. The sum over locations at 2 images per GPU is
written as a mean per image times 2, equal for any batch and device count.
"""

_base_ = ["../gflv2/gflv2_r2n101dcn_2x_coco.py", "../_base_/distill/main_ld_batch16.py"]

distill = dict(
    teacher=dict(config="configs/gflv2/gflv2_r2n101dcn_2x_coco.py", checkpoint="weights/gflv2_r2n101dcn_2x_coco.pth")
)
published = dict(row="ld-gflv2-r2n101dcn-self-2x-testdev")
