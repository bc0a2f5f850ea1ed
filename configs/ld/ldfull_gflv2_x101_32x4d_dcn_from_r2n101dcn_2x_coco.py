"""Main KD + main LD + VLR LD on GFLv2 (the paper's "Ours"): X-101-32x4d-DCN from Res2Net-101-DCN, 2x, multi-
scale 480-960, COCO.

Command: python tools/run_net.py --config-file=configs/ld/ldfull_gflv2_x101_32x4d_dcn_from_r2n101dcn_2x_coco.py --task=train
Published: test-dev AP 50.5 (HikariTJU/LD README, released weights).
Measured with jld: not measured. Memory, time: not measured.
Differs: no config of this row is released; the terms are those it names, everything else is that of the rows
with main LD alone. VLR is gated by IoF as in the released code (region option gate="diou" gives the paper's).
"""

_base_ = ["../gflv2/gflv2_x101_32x4d_dcn_2x_coco.py", "../_base_/distill/full_batch4.py"]

distill = dict(
    teacher=dict(config="configs/gflv2/gflv2_r2n101dcn_2x_coco.py", checkpoint="weights/gflv2_r2n101dcn_2x_coco.pth")
)
published = dict(row="ld-gflv2-ours-x101-32x4d-dcn-from-r2n101dcn-2x-testdev")
