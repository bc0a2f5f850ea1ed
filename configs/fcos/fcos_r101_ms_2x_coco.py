"""FCOS R-101, 2x, short side 640 or 800, COCO: the teacher of CrossKD's FCOS rows, mmDetection's
fcos_r101_caffe_fpn_gn-head_ms-640-800-2x.

Command: python tools/run_net.py --config-file=configs/fcos/fcos_r101_ms_2x_coco.py --task=train
Published: val AP 40.8 (README of jbwang1997/CrossKD).
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = "fcos_r50_ms_2x_coco.py"

model = dict(backbone=dict(depth=101, pretrained="open-mmlab://detectron/resnet101_caffe"))
published = dict(row="crosskd-fcos-r101-ms-2x")
