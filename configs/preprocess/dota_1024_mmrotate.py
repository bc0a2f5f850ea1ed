"""DOTA-1.0 into patches of 1024 px with 200 px overlap by mmRotate's rules: what configs/rotated/*_dota.py read.

Command: python tools/preprocess.py --config-file=configs/preprocess/dota_1024_mmrotate.py
Expects data/DOTA/{train,val,test}/images and, but for test, labelTxt; writes data/DOTA_mmrotate/<label>_1024_200_1.0.
"""

type = "DOTA"
style = "mmrotate"
source_dataset_path = "data/DOTA"
target_dataset_path = "data/DOTA_mmrotate"
_cut = dict(subimage_size=1024, overlap_size=200, multi_scale=[1.0])
tasks = [dict(label=label, config=_cut) for label in ("train", "val", "test")]
