"""What cannot be distilled is refused before training, with all reasons at once."""

import dataclasses

import pytest

from jld.boxes.priors import AnchorGenerator
from jld.boxes.rotated.coders import DeltaXYWHAOBBoxCoder
from jld.distill import Distiller, Lesson
from jld.distill.compatibility import check_compatible, table_of
from jld.distill.distiller import named_regions
from jld.distill.schedule import TermSchedule
from jld.distill.terms import FGFI, ClassificationKD, FeatureImitation, LocalizationKD, localization_kd
from jld.errors import ConfigError
from jld.models import InputStatistics
from jld.models.boxes import DeltaBoxes, DistanceBoxes, DistributionBoxes
from tests.distill.imitation_scene import Head
from tests.stages import GivenTeacher, bound_to, interface_of

BINS = DistributionBoxes(DistanceBoxes("strides"), 5)
ROTATED = DeltaBoxes(DeltaXYWHAOBBoxCoder("oc"))


def refused(term, message, student=None, teacher=None):
    student, teacher = (side or interface_of(Head(BINS)) for side in (student, teacher))
    regions = named_regions(None, [term])
    if message is None:
        check_compatible(student, {"teacher": teacher}, [(term, "teacher")], regions)
        return
    with pytest.raises(ConfigError, match=message):
        check_compatible(student, {"teacher": teacher}, [(term, "teacher")], regions)


@pytest.mark.parametrize(
    "region", ["vlr", "inside_gt", "fine_grained", "fine_grained_own_level", "background"]
)
def test_an_upright_region_is_refused_for_rotated_boxes(region):
    rotated = interface_of(Head(ROTATED))
    message = f"the region '{region}' reads upright boxes, but the student's are described by 5 numbers"
    refused(FeatureImitation(region), message, rotated, rotated)
    refused(FeatureImitation(region), None)


def test_box_losses_that_disagree_about_turned_boxes_are_warned_of(monkeypatch):
    said = []
    monkeypatch.setattr(localization_kd, "warn_once", said.append)
    stage = interface_of(Head(BINS))
    gaussian = dataclasses.replace(
        stage, stages={"head": dataclasses.replace(stage.stage(), turned_is_same=True)}
    )
    for student, teacher in ((stage, stage), (gaussian, gaussian)):
        LocalizationKD().bind(student, teacher)
    assert not said
    LocalizationKD().bind(stage, gaussian)
    assert len(said) == 1 and "give student and teacher the same loss_bbox" in said[0]


def test_a_rotated_region_is_refused_for_upright_boxes():
    refused(FGFI(region="rotated_fine_grained"), "reads rotated boxes, but the student's are described by 4")
    rotated = interface_of(Head(ROTATED))
    refused(FeatureImitation("rotated_ld"), None, rotated, rotated)
    refused(FeatureImitation("main"), None, rotated, rotated)


def test_distributions_of_deltas_are_compared_with_their_coder_and_anchors():
    student, angles = (
        interface_of(Head(DistributionBoxes(DeltaBoxes(DeltaXYWHAOBBoxCoder(version)), 5)))
        for version in ("oc", "le135")
    )
    refused(LocalizationKD(), "deltas stand for other boxes", student, angles)
    refused(LocalizationKD(support="projected"), "deltas stand for other boxes", student, angles)
    refused(LocalizationKD(), None, student, student)
    stage = dataclasses.replace(student.stage(), anchors=("4 x 4",))
    refused(LocalizationKD(), "deltas", student, dataclasses.replace(student, stages={"dense": stage}))


def test_places_of_several_priors_are_compared_by_their_shapes():
    def with_ratios(*ratios):
        head = Head()
        head.priors = AnchorGenerator((8, 16), ratios=ratios)
        return interface_of(head)

    refused(ClassificationKD(), None, with_ratios(1.0, 2.0), with_ratios(1.0, 2.0))
    refused(ClassificationKD(), "anchors differ: student", with_ratios(1.0, 2.0), with_ratios(1.0, 3.0))


def test_classes_with_one_name_twice_cannot_be_put_in_order():
    student, teacher = (
        interface_of(Head(BINS), classes=names) for names in (("a", "b", "b"), ("b", "a", "b"))
    )
    refused(ClassificationKD(), "classes differ", student, teacher)


def test_classes_are_compared_by_name_where_scores_are_compared():
    student, teacher = (
        interface_of(Head(BINS), classes=names) for names in (("a", "b", "c"), ("a", "b", "d"))
    )
    said = r"student \(a, b, c\), teacher \(a, b, d\); missing at the teacher: c, unknown to the student: d"
    refused(ClassificationKD(), said, student, teacher)
    refused(FeatureImitation("gi"), "classes differ", student, teacher)
    refused(LocalizationKD(), None, student, teacher)
    refused(ClassificationKD(), None, student, dataclasses.replace(teacher, classes=("c", "a", "b")))
    refused(ClassificationKD(), None, student, dataclasses.replace(teacher, classes=()))


def test_a_softmax_over_one_class_is_refused_and_never_chosen():
    one = interface_of(Head(BINS, num_classes=1))
    refused(ClassificationKD(activation="softmax"), "a softmax over one class is 1", one, one)
    refused(ClassificationKD(), None, one, one)
    with pytest.raises(ConfigError, match="did you mean 'sigmoid'"):
        ClassificationKD(activation="sigmoids")


def test_unknown_stages_and_schedules_beyond_the_end_are_refused():
    refused(LocalizationKD(stage="roi"), "the student has no stage 'roi', only dense")
    head = Head(BINS)
    lesson = Lesson(LocalizationKD(), "teacher", TermSchedule(start=40))
    distiller = Distiller({"teacher": GivenTeacher(None, head)}, [lesson], named_regions(None, [lesson.term]))
    bound_to(distiller, head).check_length(41)
    with pytest.raises(ConfigError, match="loss_ld starts at step 40, but the training has only 40 steps"):
        distiller.check_length(40)


def test_the_table_names_classes_and_normalisation():
    statistics = InputStatistics((123.675, 116.0, 104.0), (58.0, 57.0, 57.0), is_rgb=True)
    student = dataclasses.replace(interface_of(Head(BINS), classes="abc"), normalisation=statistics)
    text = table_of({"student": student, "teacher": interface_of(Head(ROTATED), 64)})
    rows = {line.split("  ")[0]: line for line in text.splitlines()}
    assert "(a, b, c)" in rows["classes"] and rows["classes"].rstrip().endswith("3")
    assert "RGB mean 123.675, 116, 104 std 58, 57, 57" in rows["input"]
    assert "4x5" in rows["dense box_logits"] and rows["dense box_deltas"].rstrip().endswith("5")
