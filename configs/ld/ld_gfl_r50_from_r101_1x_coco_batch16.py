"""LD on GFL, main region only, 16 images a step: R-50 from R-101, 1x, COCO (mmDetection's LD).

Command: python tools/run_net.py --config-file=configs/ld/ld_gfl_r50_from_r101_1x_coco_batch16.py
--task=train
Published: val AP 41.0 (mmDetection model zoo, LD; 8 GPUs, lr 0.01).
Measured with jld: not measured. Memory, time: not measured.
Differs: the released sum over locations at 2 images per GPU is written as a mean per image times 2, equal
for any batch and device count.
"""

_base_ = ["../gfl/gfl_r50_1x_coco_batch16.py", "../_base_/distill/main_ld_batch16.py"]

distill = dict(
    teacher=dict(config="configs/gfl/gfl_r101_ms_2x_coco.py", checkpoint="weights/gfl_r101_ms_2x_coco.pth")
)
published = dict(row="mmdet-ld-r50-from-r101-1x")
