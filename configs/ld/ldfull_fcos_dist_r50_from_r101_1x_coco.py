"""Main KD + main LD + VLR LD on FCOS with box distributions: R-50 from R-101, 1x, COCO (HikariTJU/LD,
ld_r50_fcos_r101_1x).

Command: python tools/run_net.py --config-file=configs/ld/ldfull_fcos_dist_r50_from_r101_1x_coco.py --task=train
Published: none.
Measured with jld: not measured. Memory, time: not measured.
Differs: the teacher gets the pixels minus its own means, which differ from the student's in the first decimals; the
released code feeds it the student's input (teacher option input_statistics="student").
"""

_base_ = ["../fcos/fcos_dist_r50_1x_coco.py", "../_base_/distill/full_fcos_dist.py"]

distill = dict(
    teacher=dict(
        config="configs/fcos/fcos_dist_r101_ms_2x_coco.py", checkpoint="weights/fcos_dist_r101_ms_2x_coco.pth"
    )
)
