"""FBKD on Faster R-CNN: R-50 from R-101, 1x, COCO, as mmRazor runs it.

Command: python tools/run_net.py --config-file=configs/imitation/fbkd_faster_rcnn_r50_from_r101_1x_coco.py --task=train
Published: val AP 39.3 (open-mmlab/mmrazor, FBKD).
Measured with jld: not measured. Memory, time: not measured.
Differs: nothing known.
"""

_base_ = "../faster_rcnn/faster_rcnn_r50_1x_coco.py"

distill = dict(
    teacher=dict(
        config="configs/faster_rcnn/faster_rcnn_r101_1x_coco.py", checkpoint="weights/faster_rcnn_r101_1x_coco.pth"
    ),
    terms=[
        dict(
            type="FBKD", attention_weight=7e-5, pooling_weight=4e-3, non_local_weight=7e-5, temperature=0.5,
            use_channel_attention=False, images_per_norm=2, levels=[0, 1, 2, 3],
        ),
    ],
)
published = dict(row="mmrazor-fbkd-faster-rcnn-r50-from-r101-1x")
