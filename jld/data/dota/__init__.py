"""DOTA and its relatives: label files, patches, merged results, submissions. NumPy, OpenCV and shapely
only.
"""

from jld.data.dota.classes import (
    CLASSES_BY_TYPE,
    DIOR_CLASSES,
    DOTA1_5_CLASSES,
    DOTA1_CLASSES,
    DOTA2_CLASSES,
    FAIR1M_1_5_CLASSES,
    FAIR_CLASSES,
    HRSC_CLASSES,
    classes_of,
)
from jld.data.dota.ground_truth import truth_record
from jld.data.dota.jdet_labels import jdet_entry, read_jdet_labels, write_jdet_labels
from jld.data.dota.labels import PolyAnnotation, format_objects, read_label_file, write_label_file
from jld.data.dota.merge import merge_patches, merge_views, merge_windows, unflip_detections
from jld.data.dota.names import PatchName, parse_patch_name, patch_name
from jld.data.dota.patches import SourceImage, SplitSettings, cut_image, split_image
from jld.data.dota.preprocess import ConvertTask, SplitTask, read_plan
from jld.data.dota.split import find_images, remove_result, split_dataset
from jld.data.dota.submission import SubmissionReport, check_submission, write_submission
from jld.data.dota.views import Views
from jld.data.dota.xml_readers import (
    read_dior_xml,
    read_fair_xml,
    read_hrsc_xml,
    read_rolabelimg_xml,
    read_ssdd_xml,
)

__all__ = [
    "CLASSES_BY_TYPE",
    "DIOR_CLASSES",
    "DOTA1_5_CLASSES",
    "DOTA1_CLASSES",
    "DOTA2_CLASSES",
    "FAIR1M_1_5_CLASSES",
    "FAIR_CLASSES",
    "HRSC_CLASSES",
    "ConvertTask",
    "PatchName",
    "PolyAnnotation",
    "SourceImage",
    "SplitSettings",
    "SplitTask",
    "SubmissionReport",
    "Views",
    "check_submission",
    "classes_of",
    "cut_image",
    "find_images",
    "format_objects",
    "jdet_entry",
    "merge_patches",
    "merge_views",
    "merge_windows",
    "parse_patch_name",
    "patch_name",
    "read_dior_xml",
    "read_fair_xml",
    "read_jdet_labels",
    "read_hrsc_xml",
    "read_label_file",
    "read_plan",
    "read_rolabelimg_xml",
    "read_ssdd_xml",
    "remove_result",
    "split_dataset",
    "split_image",
    "truth_record",
    "unflip_detections",
    "write_jdet_labels",
    "write_label_file",
    "write_submission",
]
