"""JDet configs as networks: detector and distiller from the text of a config file, with few channels."""

from __future__ import annotations

import numpy as np
import pytest

from jld.apis import register_parts
from jld.config import Config, load_config, to_plain
from jld.distill import build_distiller
from jld.models import InputStatistics, build_detector
from tests.config.jdet_texts import KINDS, write_jdet_config
from tests.models.golden_rotated import coder_of
from tests.test_configs import shrunk

BINS, PRIORS, CLASSES = 9, 9, 15


@pytest.fixture(autouse=True, scope="module")
def parts():
    register_parts()


def built(folder, kind):
    config = load_config(write_jdet_config(folder, kind))
    return config, build_detector(shrunk(config.model))


@pytest.mark.parametrize("kind", KINDS)
def test_the_head_follows_jdets_conventions(tmp_path, kind):
    """1x1 predictions, anchors at (stride - 1) / 2, angles in units of pi."""
    _, detector = built(tmp_path, kind)
    head = detector.bbox_head
    bins = BINS if kind in ("distribution", "ld") else 1
    assert list(head.retina_cls.weight.shape) == [PRIORS * CLASSES, 32, 1, 1]
    assert list(head.retina_reg.weight.shape) == [PRIORS * 5 * bins, 32, 1, 1]
    priors = head.priors.priors([(4, 4), (2, 2), (1, 1), (1, 1), (1, 1)])
    np.testing.assert_allclose(priors.centers.numpy()[0, 0], 3.5)
    box = np.array([[40.0, 50.0, 60.0, 20.0, 1.0]])
    anchor = np.array([[40.0, 50.0, 60.0, 20.0, 0.0]])
    np.testing.assert_allclose(coder_of(head).encode(anchor, box)[0, 4], 1 / np.pi)
    if bins > 1:
        supports = head.boxes.supports
        np.testing.assert_allclose(supports[0], np.linspace(-2, 2, BINS))
        np.testing.assert_allclose(supports[4], np.linspace(-5, 2, BINS))
    assert head.reg_decoded_bbox == (kind in ("gwd", "kld"))


def test_distiller_and_teacher_come_from_their_texts(tmp_path):
    teacher = load_config(write_jdet_config(tmp_path / "configs", "distribution", name="teacher.py"))
    config, student = built(tmp_path, "ld")
    assert config.distill.teacher.config.endswith("teacher.py")
    toy_teacher = Config({**teacher, "model": shrunk(teacher["model"])})
    section = to_plain(config.distill)
    section["teacher"] = {"config": toy_teacher, "checkpoint": None}
    student.normalisation = InputStatistics.from_config(config)
    distiller = build_distiller(section, student)
    kinds = [(type(term).__name__, term.weight, term.temperature, term.region) for term in distiller.terms]
    assert kinds == [("LocalizationKD", 10, 10, "main"), ("ClassificationKD", 10, 2, "all")]
