import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from support.saved_runs import cell, save

from energybench.app.cli.main import main
from energybench.errors import UsageError
from energybench.records.metric import ACCURACY
from energybench.records.saved import read_runs
from energybench.records.studies import (
    KEY,
    Check,
    Inference,
    InferencePoint,
    Intensity,
    OperatingPoint,
    Throughput,
    read_studies,
    to_extra_info,
)
from energybench.report.page import markdown, page


def intensity(method: str = "baseline", **changes: Any) -> Intensity:
    fields: dict[str, Any] = {
        "model": "resnet18",
        "method": method,
        "seed": 0,
        "batch_size": 64,
        "image_size": 32,
        "precision": "fp32",
        "device_name": "a processor",
        "flops_per_step": 8e9,
        "bytes_per_step": 4e8,
        "seconds_per_step": 0.1,
        "joules_per_step": 2.0,
        "ceiling_flops_per_s": 4e11,
        "ceiling_bytes_per_s": 2e10,
        "sources": {"cpu:0": "rapl"},
    }
    return Intensity(**(fields | changes))


def inference(method: str = "baseline", joules: float | None = 5.0) -> Inference:
    points = [InferencePoint(1, 10.0, joules), InferencePoint(64, 2.0, joules)]
    sources = {"cpu:0": "codecarbon_estimate"}
    return Inference("resnet18", method, 0, 32, "fp32", "a processor", points, sources)


def throughput(**changes: Any) -> Throughput:
    fields: dict[str, Any] = {
        "model": "resnet50",
        "precision": "bf16",
        "compiled": True,
        "memory_format": "channels_last",
        "batch_size": 128,
        "image_size": 224,
        "device_name": "a processor",
        "images_per_s": 2000.0,
        "joules_per_image": 0.25,
        "flops_per_image": 2.5e10,
        "ceiling_flops_per_s": 1e14,
        "timm_images_per_s": 1600.0,
        "timm_joules_per_image": 0.3,
    }
    return Throughput(**(fields | changes))


def point(**changes: Any) -> OperatingPoint:
    fields: dict[str, Any] = {
        "model": "resnet18",
        "method": "baseline",
        "seed": 0,
        "batch_size": 64,
        "precision": "fp32",
        "power_limit_w": None,
        "device_name": "a processor",
        "epochs": 10,
        "seconds": 20.0,
        "joules": 400.0,
        "metric": ACCURACY,
        "value": 0.95,
    }
    return OperatingPoint(**(fields | changes))


def check(name: str = "Zeus over energybench", **changes: Any) -> Check:
    fields: dict[str, Any] = {"found": "1.002", "expected": "0.99 to 1.01", "held": True}
    return Check(name, "a processor", **(fields | changes))


def test_throughput_against_the_ceiling_and_timm() -> None:
    assert throughput().utilisation == 0.5
    assert throughput().over_timm == 1.25
    assert throughput(timm_images_per_s=None).over_timm is None


def test_throughput_as_a_table_for_a_readme(tmp_path: Path) -> None:
    without = throughput(precision="fp32", compiled=False, timm_images_per_s=None)
    path = tmp_path / "throughput.json"
    extras = [to_extra_info(one) for one in (throughput(), without)]
    benchmarks = [{"extra_info": extra} for extra in extras]
    path.write_text(json.dumps({"benchmarks": benchmarks}))
    text = markdown(read_runs([str(path)], need_records=False))
    rows = [re.sub(" +", " ", line) for line in text.splitlines()]
    shared = "channels last | 224 | 128 | 2000 | 0.25 | 50 % |"
    assert f"| resnet50 | bf16 | yes | {shared} 1600 | 0.3 | 1.25 |" in rows
    assert f"| resnet50 | fp32 | no | {shared} - | 0.3 | - |" in rows


def test_derived_figures() -> None:
    found = intensity()
    assert found.flops_per_s == 8e10
    assert found.bytes_per_s == 4e9
    assert found.intensity == 20.0
    assert found.joules_per_flop == 2.0 / 8e9
    assert intensity(joules_per_step=None).joules_per_flop is None
    assert not found.estimated
    assert inference().estimated


def test_there_and_back_through_json() -> None:
    written = [to_extra_info(intensity()), {"other": 1}, to_extra_info(inference(joules=None))]
    written += [to_extra_info(throughput()), to_extra_info(check(figures={"joules": None}))]
    written.append(to_extra_info(point(power_limit_w=250.0, joules=None)))
    found = read_studies(json.loads(json.dumps(written)))
    asked = check(figures={"joules": None})
    limited = point(power_limit_w=250.0, joules=None)
    assert found == [intensity(), inference(joules=None), throughput(), asked, limited]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (None, "no study of the kind None"),
        ({"kind": "later"}, "no study of the kind 'later'; upgrade energybench"),
        ({"kind": "intensity"}, "not an energybench study"),
        (asdict(intensity()) | {"schema_version": 9}, "upgrade energybench"),
        (asdict(intensity()) | {"seed": "many"}, "not an energybench study: seed"),
        (asdict(intensity()) | {"seconds_per_step": 0.0}, "seconds_per_step is 0.0, not a number"),
        (asdict(intensity()) | {"bytes_per_step": 1e300}, "bytes_per_step is larger than any"),
        (asdict(intensity()) | {"joules_per_step": -1.0}, "joules_per_step is -1.0, not a number"),
        (asdict(throughput()) | {"ceiling_flops_per_s": True}, "ceiling_flops_per_s: Input should"),
        (asdict(point()) | {"seconds": 0.0}, "seconds is 0.0, not a number above 0"),
        (asdict(point()) | {"joules": -1.0}, "joules is -1.0, not a number"),
        (asdict(inference()) | {"points": [asdict(InferencePoint(1, 0.0, 1.0))]}, "is 0.0, not"),
    ],
)
def test_what_is_no_study_is_refused(data: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        read_studies([{KEY: data}])


def test_a_page_of_studies_alone(tmp_path: Path) -> None:
    path = tmp_path / "study.json"
    extras = [to_extra_info(one) for one in (intensity(), intensity("stego"))]
    extras.append(to_extra_info(inference()))
    path.write_text(json.dumps({"benchmarks": [{"extra_info": extra} for extra in extras]}))
    text = page(read_runs([str(path)], need_records=False))
    assert "<h3>What bounds a step</h3>" in text
    assert "<h3>Answers</h3>" in text
    assert "estimated: bytes per step" in text
    assert ">250<" in text  # pJ per FLOP
    for figure in ("roofline", "inference"):
        out = tmp_path / f"{figure}.svg"
        assert main(["plot", figure, str(path), "-o", str(out)]) == 0
        assert "baseline [fp32]" in out.read_text()


def test_checks_beside_the_records_are_a_table_and_a_headline(tmp_path: Path) -> None:
    path = tmp_path / "meters.json"
    checks = [
        check(),
        check("a cell without memory", found="the cell ran", expected="an error", held=False),
        check("two ranks", found="", expected="", held=None, reason="it needs 2 GPUs"),
    ]
    beside = {"studies": [asdict(one) for one in checks]}
    path.write_text(json.dumps({"benchmarks": [], "energybench": beside}))
    text = markdown(read_runs([str(path)], need_records=False))
    assert "3 checks of this machine, without any fine-tuning: 1 as expected, 1 not, 1 " in text
    rows = [re.sub(" +", " ", line) for line in text.splitlines()]
    assert "| Zeus over energybench | 1.002 | 0.99 to 1.01 | yes | |" in rows
    assert "| two ranks | - | - | - | it needs 2 GPUs |" in rows
    assert "- not as expected: a cell without memory: the cell ran, expected: an error" in rows


def test_a_run_of_studies_alone_has_no_column_beside_runs_of_cells(tmp_path: Path) -> None:
    path = tmp_path / "meters.json"
    beside = {"studies": [asdict(check())]}
    path.write_text(json.dumps({"benchmarks": [], "energybench": beside}))
    runs = [str(path), save(tmp_path / "one.json", [cell()])]
    assert "side by side" not in markdown(read_runs(runs, need_records=False))
    runs.append(save(tmp_path / "other.json", [cell()]))
    text = markdown(read_runs(runs, need_records=False))
    assert "side by side" in text
    assert "C energy" not in text


def test_joules_per_image_are_a_table_by_arithmetic(tmp_path: Path) -> None:
    path = tmp_path / "steps.json"
    found = [
        intensity(),
        intensity("baseline-bf16", precision="bf16", joules_per_step=0.8),
        intensity("baseline-bf16", precision="bf16", compiled=True, joules_per_step=0.64),
        intensity("stego", precision="bf16", joules_per_step=0.1),
        intensity(model="vgg16", joules_per_step=None),
    ]
    benchmarks = [{"extra_info": to_extra_info(one)} for one in found]
    path.write_text(json.dumps({"benchmarks": benchmarks}))
    text = markdown(read_runs([str(path)], need_records=False))
    rows = [re.sub(" +", " ", line) for line in text.splitlines()]
    place = rows.index("### Joules per image of a training step, by arithmetic")
    assert rows[place + 2] == "| model | pixels | batch | fp32 | bf16 | bf16, compiled |"
    assert rows[place + 4] == "| resnet18 | 32 | 64 | 0.0312 | 0.0125 | 0.01 |"
    assert rows[place + 5] == "| vgg16 | 32 | 64 | - | - | - |"


def test_answers_without_known_energy_are_no_figure(tmp_path: Path) -> None:
    path = save(tmp_path / "run.json", [cell()], **to_extra_info(inference(joules=None)))
    text = page(read_runs([path]))
    answers = text[text.index("<h3>Answers, in numbers</h3>") :]
    head, _, _ = answers.partition("</thead>")
    assert "batch" in head
    assert "mJ" not in head, "a column that nobody has measured"
    assert "Energy of 1,000 images" not in text


def test_a_file_with_neither_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = save(tmp_path / "step.json", [], joules_per_image=1.0)
    assert main(["report", path, "-o", str(tmp_path / "x.html")]) == 2
    assert "has no energybench records" in capsys.readouterr().err
