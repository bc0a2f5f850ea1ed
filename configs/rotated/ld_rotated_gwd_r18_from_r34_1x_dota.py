"""LD and KD on rotated RetinaNet with GWD: R-18 from R-34, 1x, DOTA-1.0 train to val.

Command: python tools/run_net.py --config-file=configs/rotated/ld_rotated_gwd_r18_from_r34_1x_dota.py --task=train
Published: val AP 40.2, AP50 66.4, AP70 50.3, AP90 8.5 (README of Zzh-tju/Rotated-LD).
Measured with jld: not measured. Memory, time: not measured.
Differs: the published AP comes from an evaluator that adds a fifteenth of the previous threshold's score to every
threshold above 0.5 (AP50 is right); DotaEvaluator(protocol="rotated_ld") repeats it.
"""

_base_ = ["rotated_gwd_dist_r18_1x_dota.py", "../_base_/distill/rotated_gwd.py"]

distill = dict(
    teacher=dict(
        config="configs/rotated/rotated_gwd_dist_r34_2x_dota.py",
        checkpoint="weights/rotated_gwd_dist_r34_2x_dota.pth",
    )
)
published = dict(row="rld-gwd-r18-from-r34-1x")
