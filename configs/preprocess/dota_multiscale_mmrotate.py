"""DOTA-1.0 at three scales by mmRotate's rules: windows of 2048, 1024 and 683 px with an overlap of half a window.

Command: python tools/preprocess.py --config-file=configs/preprocess/dota_multiscale_mmrotate.py
Expects data/DOTA as dota_1024_mmrotate.py does; writes data/DOTA_mmrotate/<label>_1024_500_0.5-1.0-1.5. Nothing is
resampled: patches keep the size of their window, and RotatedResize in the dataset brings them to 1024 px.
"""

type = "DOTA"
style = "mmrotate"
source_dataset_path = "data/DOTA"
target_dataset_path = "data/DOTA_mmrotate"
_cut = dict(subimage_size=1024, overlap_size=500, multi_scale=[0.5, 1.0, 1.5])
tasks = [dict(label=label, config=_cut) for label in ("trainval", "test")]
