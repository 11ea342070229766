"""The test images whose answers change most, as pictures."""

from __future__ import annotations

from base64 import b64decode
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from bequest.errors import ConfigError
from bequest.evidence.samples.changes import GAINED, LONGEST_SIDE, LOST, Changes, picture
from bequest.runs.planning import planned


def pixels(address):
    head, content = address.split(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(BytesIO(b64decode(content))))


@pytest.fixture(scope="module")
def changes(readings):
    return {
        c.chart: c
        for c in Changes(pairs=(("mlp", "cnn"),), count=5, names={"3": "three"}).curves(readings, ())
    }


def test_those_that_change_most_come_first(changes, readings):
    right = {
        arm: sum(readings.predictions(arm, seed, "test").correct.astype(int) for seed in (0, 1))
        for arm in ("mlp", "cnn")
    }
    gain = right["cnn"] - right["mlp"]
    for chart, sign in ((GAINED, 1), (LOST, -1)):
        steps = [sign * (point.y - point.x) for point in changes[chart].points]
        most = sorted((sign * gain)[sign * gain > 0], reverse=True)[:5]
        assert steps == [float(step) for step in most]
        assert all(point.n == 2 for point in changes[chart].points)
    assert changes[GAINED].points or changes[LOST].points


def test_a_picture_is_the_sample_that_its_label_speaks_of(changes, readings):
    test = readings.data["test"]
    images = np.rint(test.x.numpy()[:, 0] * 255).astype(np.uint8)
    names = [name.replace("3", "three") for name in readings.data.classes]
    for point in (*changes[GAINED].points, *changes[LOST].points):
        (row,) = [k for k in range(len(images)) if np.array_equal(images[k], pixels(point.image))][:1]
        truth, before, after = point.label.split("; ")
        assert truth == names[int(test.y[row])]
        assert before.startswith(f"mlp: {point.x:g} of 2 right")
        assert after.startswith(f"cnn: {point.y:g} of 2 right")
        assert ("else" in before) == (point.x < 2)


def test_a_large_colour_image_is_made_small(tmp_path):
    image = np.zeros((3, 200, 100), dtype=np.float32)
    image[0] = 1.0
    small = pixels(picture(image))
    assert small.shape == (LONGEST_SIDE, LONGEST_SIDE // 2, 3)
    assert (small == [255, 0, 0]).all()


def test_arms_that_are_not_shown_are_named(study):
    study["measures"]["changes"] = [["cnn", "ml"]]
    with pytest.raises(ConfigError, match=r"measures\.changes: there is no arm 'ml'"):
        planned(study)
    study["measures"]["changes"] = [["cnn", "mlp part"]]
    with pytest.raises(ConfigError, match="'mlp part' is aside"):
        planned(study)
    kind = Changes(pairs=(("cnn", "mlp"), ("mlp", "mlp<-cnn")))
    assert kind.restricted(["cnn", "mlp"]) == Changes(pairs=(("cnn", "mlp"),))
    assert kind.restricted(["cnn"]) is None
