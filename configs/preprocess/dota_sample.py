"""A few DOTA images into small patches by mmRotate's rules: 256 px, 64 px overlap; what projects/rotated_ld reads.

Command: python tools/preprocess.py --config-file=configs/preprocess/dota_sample.py
Expects data/dota_sample/train/{images,labelTxt}; writes work_dirs/rotated_ld/patches/train_256_64_1.0.
"""

type = "DOTA"
style = "mmrotate"
source_dataset_path = "data/dota_sample"
target_dataset_path = "work_dirs/rotated_ld/patches"
tasks = [dict(label="train", config=dict(subimage_size=256, overlap_size=64, multi_scale=[1.0]))]
