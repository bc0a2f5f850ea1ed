"""Tests are found by the name of the source: those of `config/jdet/keys.py` in `config/test_jdet_keys.py`."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# {file of tests: the sources it covers beside or instead of the one of its name}
COVERS = {
    "cli/test_browse_dataset.py": ("apis/browse_dataset.py",),
    "apis/test_distillation_pictures.py": ("apis/visualize_distillation.py",),
    "cli/test_commands.py": (
        "apis/arguments.py",
        "apis/comparison_options.py",
        "apis/quick_start.py",
    ),
    "cli/test_doctor.py": ("apis/doctor.py",),
    "cli/test_plot_log.py": ("apis/plot_log.py",),
    "cli/test_run_net.py": ("apis/distillation.py",),
    "evaluation/test_baselines.py": ("apis/compare_baselines.py",),
    "ops/test_mask_targets.py": ("ops/polygon_edges.py",),
    "apis/test_export.py": (
        "export/check.py",
        "export/detector.py",
        "export/graph.py",
        "export/layers.py",
        "export/rois.py",
        "export/runtime.py",
        "export/selection.py",
        "export/transformers.py",
    ),
    "models/test_two_stage.py": (
        "models/heads/roi_head.py",
        "models/rois.py",
    ),
    "distill/test_two_stages.py": ("distill/likeliest.py", "distill/terms/cross_roi_kd.py"),
    "models/test_rpn_golden.py": ("models/heads/rpn_head.py",),
    "models/test_mask_head_golden.py": ("models/heads/mask_head.py",),
    "models/test_box_head_golden.py": ("models/heads/box_head.py",),
    "data/test_yolo.py": (
        "data/yolo_files.py",
        "data/dota/formats.py",
        "data/dota_coco.py",
    ),
    "data/test_instance_masks.py": ("data/mask_table.py",),
    "ops/test_window_attention.py": ("ops/layer_norm.py",),
    "models/test_swin.py": ("models/backbones/swin_layouts.py",),
    "apis/test_analyze.py": (
        "apis/draw.py",
        "apis/looking.py",
    ),
    "assign/test_atss.py": ("assign/assignment.py",),
    "assign/test_own_level.py": ("assign/levels.py",),
    "assign/test_regions.py": (
        "assign/interfaces.py",
        "assign/regions/everywhere.py",
        "assign/regions/fine_grained.py",
        "assign/regions/general_instance.py",
        "assign/regions/inside_gt.py",
        "assign/regions/main.py",
        "assign/regions/valuable.py",
        "assign/rounds.py",
    ),
    "assign/test_rotated_assign.py": (
        "assign/overlaps.py",
        "boxes/rotated/anchors.py",
    ),
    "assign/test_rotated_regions.py": ("assign/regions/rotated.py",),
    "boxes/test_boxes.py": (
        "boxes/backend.py",
        "boxes/coders.py",
        "boxes/distances.py",
        "boxes/formats.py",
        "boxes/interfaces.py",
        "boxes/overlaps.py",
    ),
    "boxes/test_priors.py": ("boxes/places.py",),
    "boxes/test_rotated_boxes.py": (
        "boxes/rotated/angles.py",
        "boxes/rotated/corners.py",
        "boxes/rotated/motions.py",
        "boxes/rotated/upright.py",
    ),
    "boxes/test_rotated_coders.py": ("boxes/rotated/midpoint.py",),
    "boxes/test_rotated_overlaps.py": (
        "boxes/rotated/candidates.py",
        "boxes/rotated/clipping.py",
        "boxes/rotated/polygon_iou.py",
        "boxes/rotated/polygon_nms.py",
    ),
    "checkpoint/test_convert.py": (
        "checkpoint/report.py",
        "checkpoint/names/jdet.py",
        "checkpoint/names/mmdet.py",
        "checkpoint/names/mmrotate.py",
        "checkpoint/names/rules.py",
        "checkpoint/names/swin.py",
        "checkpoint/names/timm.py",
    ),
    "checkpoint/test_download.py": ("apis/downloads.py",),
    "checkpoint/test_export.py": (
        "apis/convert_checkpoint.py",
        "apis/publish_model.py",
        "checkpoint/publish.py",
        "checkpoint/torch_writer.py",
    ),
    "checkpoint/test_hostile.py": (
        "checkpoint/malformed.py",
        "checkpoint/pickle_machine.py",
    ),
    "checkpoint/test_reader.py": (
        "checkpoint/arrays.py",
        "checkpoint/pickle_builders.py",
        "checkpoint/pickle_files.py",
        "checkpoint/plain.py",
        "checkpoint/torch_files.py",
    ),
    "checkpoint/test_training_state.py": ("checkpoint/atomic.py",),
    "checkpoint/test_names_torchvision.py": ("checkpoint/names/background.py",),
    "cli/test_mpirun.py": ("utils/distributed.py",),
    "config/test_imports.py": ("config/prepare.py",),
    "config/test_mmdet.py": (
        "config/mmdet/data.py",
        "config/mmdet/model.py",
        "config/mmdet/parts.py",
        "config/mmdet/schedule.py",
        "config/mmdet/two_stage.py",
    ),
    "config/test_jdet.py": (
        "config/jdet/data.py",
        "config/jdet/model.py",
        "config/foreign.py",
    ),
    "config/test_loader.py": ("config/yaml_text.py",),
    "config/test_validate.py": ("config/sections.py",),
    "apis/test_convert_labels.py": (
        "data/label_sources.py",
        "data/label_writers.py",
    ),
    "data/test_account.py": ("data/tables.py",),
    "data/test_annotation_files.py": (
        "data/cvat.py",
        "data/labelme.py",
    ),
    "data/test_label_statistics.py": (
        "apis/label_stats.py",
        "visualization/label_statistics.py",
    ),
    "data/test_dota_convert.py": ("data/dota/xml_readers.py",),
    "data/test_dota_dataset.py": (
        "data/dota/layout.py",
        "data/dota_tables.py",
        "data/oriented.py",
    ),
    "data/test_dota_labels.py": ("data/dota/names.py",),
    "data/test_dota_split.py": (
        "apis/preprocess.py",
        "data/dota/leftovers.py",
        "data/dota/patches.py",
        "data/dota/preprocess.py",
    ),
    "data/test_dota_submission.py": (
        "data/dota/ground_truth.py",
        "data/zip_texts.py",
    ),
    "data/test_drawn.py": (
        "data/painting.py",
        "data/shapes.py",
    ),
    "data/test_drawn_oriented.py": ("data/aerial_shapes.py",),
    "data/test_image_reader.py": (
        "data/image_header.py",
        "data/problems.py",
    ),
    "data/test_images.py": ("data/image_folder.py",),
    "data/test_loader.py": (
        "data/sampling.py",
        "data/worker.py",
    ),
    "data/test_voc.py": ("data/voc_xml.py",),
    "distill/test_cross_kd.py": ("distill/denominators.py",),
    "distill/test_distiller.py": (
        "distill/step.py",
        "models/normalisation.py",
        "models/targets.py",
    ),
    "distill/test_gid.py": ("ops/roi_align.py",),
    "distill/test_global_knowledge.py": (
        "distill/instances.py",
        "distill/relations.py",
        "distill/terms/instance_relations.py",
        "distill/terms/instances.py",
    ),
    "distill/test_imitation_terms.py": (
        "distill/adapters.py",
        "distill/maps.py",
        "distill/non_local.py",
        "distill/terms/defeat.py",
        "distill/terms/fbkd.py",
        "distill/terms/fgfi.py",
        "distill/terms/pfi.py",
        "distill/terms/rank_mimicking.py",
    ),
    "distill/test_label_guided.py": (
        "distill/label_guided/encoder.py",
        "distill/label_guided/instances.py",
        "distill/label_guided/teacher.py",
    ),
    "distill/test_label_guided_golden.py": (
        "distill/label_guided/painter.py",
        "distill/terms/instructive_mse.py",
    ),
    "distill/test_ld_golden.py": ("distill/context.py",),
    "distill/test_terms.py": (
        "distill/reduction.py",
        "distill/terms/base.py",
        "distill/terms/classification_kd.py",
        "distill/terms/feature_imitation.py",
        "distill/terms/localization_kd.py",
    ),
    "evaluation/test_analysis.py": ("evaluation/analysis_tables.py",),
    "evaluation/test_coco.py": ("evaluation/records.py",),
    "losses/test_losses.py": (
        "losses/cross_entropy.py",
        "losses/distribution.py",
        "losses/focal.py",
        "losses/iou.py",
        "losses/kl.py",
        "losses/reduction.py",
        "losses/regression.py",
    ),
    "models/test_dense_head.py": (
        "models/detectors/base.py",
        "models/detectors/single_stage.py",
        "models/parts.py",
    ),
    "models/test_fcos_head.py": ("models/heads/centerness_losses.py",),
    "models/test_gfl_losses_golden.py": (
        "models/heads/gfl_head.py",
        "models/heads/gfl_losses.py",
    ),
    "models/test_layers.py": (
        "ops/channel_affine.py",
        "ops/group_norm.py",
    ),
    "models/test_rotated_head.py": ("models/heads/rotated_retina_head.py",),
    "ops/test_atss_match.py": ("ops/valuable_overlaps.py",),
    "ops/test_box_overlaps.py": ("ops/expectation.py",),
    "ops/test_cell_boxes.py": (
        "ops/crop_means.py",
        "ops/paint_boxes.py",
    ),
    "ops/test_conv2d.py": (
        "ops/biased_relu.py",
        "ops/headers.py",
        "ops/onednn_conv.py",
        "ops/pointwise_conv.py",
        "ops/sgemm.py",
        "ops/winograd_conv.py",
    ),
    "ops/test_max_iou_match.py": ("ops/rotated_match.py",),
    "ops/test_nms.py": ("ops/suppression.py",),
    "ops/test_rotated_iou.py": ("ops/rotated_geometry.py",),
    "optim/test_optimizers.py": (
        "optim/adam.py",
        "optim/base.py",
        "optim/gradients.py",
        "optim/sgd.py",
    ),
    "runner/test_checks.py": ("models/interface.py",),
    "runner/test_hooks.py": ("runner/early_stopping.py",),
    "runner/test_loop.py": (
        "ops/finite.py",
        "runner/history.py",
    ),
    "runner/test_prototypes.py": ("runner/candidates.py",),
    "runner/test_oriented_tasks.py": ("data/dota/views.py",),
    "test_configs.py": ("apis/registration.py",),
    "test_registry.py": ("errors.py",),
    "test_toolchain.py": (
        "toolchain/build.py",
        "toolchain/cache.py",
        "toolchain/findings.py",
        "toolchain/headers.py",
        "toolchain/onednn.py",
    ),
    "apis/test_comparison.py": ("apis/comparison_pictures.py",),
    "visualization/test_boxes.py": ("visualization/canvas.py",),
    "visualization/test_curves.py": ("visualization/figures.py",),
}


def names_of_tests(source: str) -> list[str]:
    """Where the tests of a source may stand, relative to `tests`; `source` is relative to `jld`."""
    *folders, name = source.removesuffix(".py").split("/")
    package = f"{folders[0]}/" if folders else ""
    return [
        f"{package}test_{'_'.join([*folders[start:], name])}.py" for start in range(1, len(folders) + 1)
    ] or [f"test_{name}.py"]


def test_names():
    assert names_of_tests("registry.py") == ["test_registry.py"]
    assert names_of_tests("optim/average.py") == ["optim/test_average.py"]
    assert names_of_tests("config/jdet/keys.py") == ["config/test_jdet_keys.py", "config/test_keys.py"]


def sources() -> list[str]:
    files = sorted(str(file.relative_to(ROOT / "jld")) for file in (ROOT / "jld").rglob("*.py"))
    return [file for file in files if not file.endswith(("__init__.py", "__main__.py"))]


@pytest.mark.parametrize("source", sources())
def test_every_source_has_its_tests(source):
    named = [*names_of_tests(source), *(test for test, covered in COVERS.items() if source in covered)]
    assert any((ROOT / "tests" / test).is_file() for test in named), f"write one of {named}"


def test_what_is_said_to_be_covered_exists():
    covered = [source for each in COVERS.values() for source in each]
    assert len(covered) == len(set(covered)) and set(covered) <= set(sources())
    assert [test for test in COVERS if not (ROOT / "tests" / test).is_file()] == []
