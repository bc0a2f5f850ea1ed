"""Decoupled imitation (DeFeat) of objects and background on GFL: R-50 from R-101, 1x, COCO.

Command: python tools/run_net.py --config-file=configs/imitation/defeat_gfl_r50_from_r101_1x_coco.py --task=train
Published: val AP 40.8, AP50 58.6, AP75 44.2 (README table of HikariTJU/LD; logit mimicking versus feature
imitation).
Measured with jld: not measured. Memory, time: not measured.
Differs: the released code for this row stops on unequal shapes; its evident intent is written here, weights 2
inside and 4 outside of the objects. It counts the padding of a batch as background, here it is left out.
"""

_base_ = "none_gfl_r50_1x_coco.py"

distill = dict(
    teacher=dict(config="configs/gfl/gfl_r101_ms_2x_coco.py", checkpoint="weights/gfl_r101_ms_2x_coco.pth"),
    terms=[
        dict(type="FeatureImitation", region="inside_gt", weight=2.0, needs_positives=True),
        dict(type="FeatureImitation", region="background", weight=4.0, needs_positives=True),
    ],
)
published = dict(row="ld-coco-imitation-defeat-r50-from-r101-1x")
