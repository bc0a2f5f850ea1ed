"""RetinaNet Swin-T, 3x, short side 640 to 800, COCO, in detectron2's conventions: the student of LGD without its
teacher. Images are BGR without a deviation, as released, although Swin's weights were trained on RGB with one.

Command: python tools/run_net.py --config-file=configs/retinanet/retinanet_swint_detectron2_ms_3x_coco.py --task=train
Published: val AP 44.6 (arXiv 2109.11496, table on the LGD poster).
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = [
    "../_base_/models/retinanet_r50_detectron2_fpn.py",
    "../_base_/datasets/coco_detectron2_multiscale.py",
    "../_base_/schedules/detectron2_swin_3x.py",
]

model = dict(
    backbone=dict(
        type="SwinTransformer", embed_dims=96, depths=[2, 2, 6, 2], num_heads=[3, 6, 12, 24], window_size=7,
        drop_path_rate=0.2, out_indices=[1, 2, 3], pretrained="swin://swin_tiny_patch4_window7_224", _cover_=True,
    ),
    neck=dict(in_channels=[192, 384, 768], start_level=0, add_extra_convs="on_output"),
)
published = dict(row="lgd-paper-retinanet-swin-t-ms-3x-baseline")
