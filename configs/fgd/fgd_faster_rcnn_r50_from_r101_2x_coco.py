"""FGD on Faster R-CNN: R-50 from R-101, 2x, COCO, with the weights that are published for two-stage students.

Command: python tools/run_net.py --config-file=configs/fgd/fgd_faster_rcnn_r50_from_r101_2x_coco.py --task=train
Published: none.
Measured with jld: not measured. Memory, time: not measured.
Differs: the authors' teacher is a Cascade Mask R-CNN X-101-DCN, which jld does not have.
"""

_base_ = "../faster_rcnn/faster_rcnn_r50_2x_coco.py"

distill = dict(
    teacher=dict(
        config="configs/faster_rcnn/faster_rcnn_r101_2x_coco.py", checkpoint="weights/faster_rcnn_r101_2x_coco.pth"
    ),
    terms=[
        dict(
            type="FGD", fg_weight=5e-5, bg_weight=2.5e-5, attention_weight=5e-5, global_weight=5e-7, temperature=0.5,
            box_frame="image", levels=[0, 1, 2, 3],
        ),
    ],
)
optimizer = dict(grad_clip=dict(max_norm=35, norm_type=2))
published = None  # of the plain detector
