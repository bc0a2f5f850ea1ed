"""LD and KD on rotated RetinaNet with KLD: R-18 from R-34, 1x, DOTA-1.0 (config of Rotated-LD without a row).

Command: python tools/run_net.py --config-file=configs/rotated/ld_rotated_kld_r18_from_r34_1x_dota.py --task=train
Published: none.
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = ["rotated_kld_dist_r18_1x_dota.py", "../_base_/distill/rotated_kld.py"]

distill = dict(
    teacher=dict(
        config="configs/rotated/rotated_kld_dist_r34_2x_dota.py",
        checkpoint="weights/rotated_kld_dist_r34_2x_dota.pth",
    )
)
