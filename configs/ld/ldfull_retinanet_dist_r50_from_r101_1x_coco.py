"""Main KD + main LD + VLR LD on RetinaNet with box distributions: R-50 from R-101, 1x, COCO (HikariTJU/LD,
ld_retina_r50_1x).

Command: python tools/run_net.py --config-file=configs/ld/ldfull_retinanet_dist_r50_from_r101_1x_coco.py --task=train
Published: none.
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = ["../retinanet/retinanet_dist_r50_1x_coco.py", "../_base_/distill/full_retinanet_dist.py"]

distill = dict(
    teacher=dict(
        config="configs/retinanet/retinanet_dist_r101_2x_coco.py",
        checkpoint="weights/retinanet_dist_r101_2x_coco.pth",
    )
)
