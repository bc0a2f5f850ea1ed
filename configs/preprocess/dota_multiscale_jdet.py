"""DOTA-1.0 at three scales as JDet cuts it: images are enlarged and shrunk, windows stay at 1024 px, 500 px overlap.

Command: python tools/preprocess.py --config-file=configs/preprocess/dota_multiscale_jdet.py
Expects data/DOTA/{train,val,test}/images and, but for test, labelTxt; writes data/DOTA_jdet/<label>_1024_500_0.5-1.0-1.5.
"""

type = "DOTA"
source_dataset_path = "data/DOTA"
target_dataset_path = "data/DOTA_jdet"
_cut = dict(subimage_size=1024, overlap_size=500, multi_scale=[0.5, 1.0, 1.5])
tasks = [dict(label=label, config=_cut) for label in ("trainval", "test")]
