"""DOTA-1.0 into patches of 600 px with 150 px overlap, JDet's default: what configs/rotated/jdet_*.py read.

Command: python tools/preprocess.py --config-file=configs/preprocess/dota_600_jdet.py
Expects data/DOTA/{train,val,test}/images and, but for test, labelTxt; writes data/DOTA_jdet/<label>_600_150_1.0.
"""

type = "DOTA"
source_dataset_path = "data/DOTA"
target_dataset_path = "data/DOTA_jdet"
_cut = dict(subimage_size=600, overlap_size=150, multi_scale=[1.0])
tasks = [dict(label=label, config=_cut) for label in ("train", "val", "test")]
