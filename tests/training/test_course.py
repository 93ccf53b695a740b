"""A fine-tuning that was cut short and goes on is the same as one that was not."""

import io
from typing import Any

import pytest
import torch
from support.tiny_training import compressed, plan, state, untimed
from torch import Tensor

from energybench.config import FinetuneConfig
from energybench.records.record import EpochRecord
from energybench.registry import METHODS
from energybench.training.course import Course
from energybench.training.finetune import finetune


class CutShort(Exception):
    pass


@pytest.mark.parametrize("method", [*METHODS.names(), "lowrank+prune+stego"])
def test_going_on_is_the_same_as_never_having_stopped(method: str) -> None:
    if method.startswith("baseline-"):
        pytest.skip("trains as baseline does in fp32")
    model, compression = compressed(method)
    expected = finetune(model, compression, plan())
    compression.finalize(model)

    disk = io.BytesIO()
    epochs: list[EpochRecord] = []

    def cut_short(course: Course) -> None:
        if len(course.epochs) == 2:
            torch.save(course.state_dict(), disk)
            raise CutShort

    again, compression = compressed(method)
    with pytest.raises(CutShort):
        finetune(again, compression, plan(checkpoint=cut_short, watch=epochs.append))
    disk.seek(0)
    saved: dict[str, Tensor] = torch.load(disk, weights_only=True)

    last, compression = compressed(method)
    torch.rand(7)  # what happens in between does not count
    resumed = finetune(
        last,
        compression,
        plan(skip=2, resume=lambda course: course.load_state_dict(saved, epochs)),
    )
    compression.finalize(last)
    assert untimed(resumed) == untimed(expected)
    assert state(last) == state(model)


def test_a_course_that_is_over_trains_no_more() -> None:
    courses: list[Course] = []
    model, compression = compressed("baseline")
    epochs = finetune(model, compression, plan(checkpoint=courses.append))
    final = state(model)
    saved = courses[-1].state_dict()
    again, compression = compressed("baseline")
    resumed = finetune(
        again,
        compression,
        plan(train=[], resume=lambda course: course.load_state_dict(saved, epochs)),
    )
    assert resumed == epochs
    assert state(again) == final


def test_early_stopping_counts_the_epochs_before() -> None:
    config = FinetuneConfig(max_epochs=50, learning_rate=0.0)
    model, compression = compressed("baseline")
    courses: list[dict[str, Any]] = []
    epochs = finetune(
        model,
        compression,
        plan(config=config, checkpoint=lambda course: courses.append(course.state_dict())),
    )
    assert len(epochs) == 4  # 1 + patience
    again, compression = compressed("baseline")
    resumed = finetune(
        again,
        compression,
        plan(
            config=config,
            skip=3,
            resume=lambda course: course.load_state_dict(courses[2], epochs[:3]),
        ),
    )
    assert len(resumed) == 4
