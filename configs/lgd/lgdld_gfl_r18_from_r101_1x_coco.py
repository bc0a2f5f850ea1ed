"""LGD and LD together on GFL R-18, 1x, COCO: one teacher is made of labels, a frozen R-101 is the other.

Command: python tools/run_net.py --config-file=configs/lgd/lgdld_gfl_r18_from_r101_1x_coco.py --task=train
Published: none.
Measured with jld: not measured. Memory, time: not measured.
Differs: nobody publishes the two together: an option of jld. Main LD is as in configs/ld/ld_gfl_r18_from_r101_1x_coco.py.
"""

_base_ = ["../gfl/gfl_r18_1x_coco.py", "../_base_/distill/lgd.py"]

published = None  # of the plain detector
distill = dict(
    teachers=dict(
        large=dict(config="configs/gfl/gfl_r101_ms_2x_coco.py", checkpoint="weights/gfl_r101_ms_2x_coco.pth")
    ),
    terms=[
        dict(type="InstructiveMSE", schedule=dict(start=1 / 6)),
        dict(
            type="LocalizationKD", region="main", weight=0.75, temperature=10, weighting="max_score", teacher="large",
            reduction="per_image",
        ),
    ],
)
