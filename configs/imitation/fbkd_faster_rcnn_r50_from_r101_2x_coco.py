"""FBKD on Faster R-CNN: R-50 from R-101, 2x, COCO.

Command: python tools/run_net.py --config-file=configs/imitation/fbkd_faster_rcnn_r50_from_r101_2x_coco.py --task=train
Published: val AP 40.2, AP50 60.4, AP75 43.6 (README of hikvision-research/DAVAR-Lab-ML).
Measured with jld: not measured. Memory, time: not measured.
Differs: schedule and weights of the published row are not printed; here the baselines' schedule and
the two-stage weights, which are meant for 2 images per GPU.
"""

_base_ = "../faster_rcnn/faster_rcnn_r50_2x_coco.py"

distill = dict(
    teacher=dict(
        config="configs/faster_rcnn/faster_rcnn_r101_2x_coco.py", checkpoint="weights/faster_rcnn_r101_2x_coco.pth"
    ),
    terms=[
        dict(
            type="FBKD", attention_weight=7e-5, pooling_weight=4e-3, non_local_weight=7e-5, temperature=0.5,
            use_channel_attention=False, images_per_norm=2,
        ),
    ],
)
published = dict(row="gk-fbkd-faster-rcnn-r50-from-r101")
