"""What a run leaves behind: JSON, table, exit status."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.replay import TRACE

from energybench.records.record import from_json

PASSES = "--energy-tolerance=10"
"""The tiny network loses up to 4 points where bfloat16 holds its bits at the least cost."""


def load(path: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(path.read_text())
    return data


def test_json_has_headline_record_and_timing(session: pytest.Pytester) -> None:
    result = session.runpytest_subprocess("--benchmark-json=out.json", PASSES, "-v")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(  # in this block stego ran first, and was judged last
        ["*tiny-baseline-seed0* PASSED*", "*tiny-stego-seed0* PASSED*100%*"], consecutive=True
    )
    assert "not used at all" not in result.stdout.str()
    data = load(session.path / "out.json")
    baseline, stego = data["benchmarks"]
    assert [b["name"] for b in (baseline, stego)] == [
        "test_finetune[tiny-baseline-seed0]",
        "test_finetune[tiny-stego-seed0]",
    ]
    assert baseline["group"] == "tiny"
    for entry in (baseline, stego):
        extra, record = entry["extra_info"], from_json(entry["extra_info"]["energybench"])
        assert extra["kwh"] == record.kwh
        assert extra["kwh"] > 0
        assert extra["epochs"] == len(record.epochs) >= 4
        assert extra["accuracy"] == record.value
        assert extra["accuracy"] > 0.8
        assert extra["energy_source"] == "replay"
        assert extra["within_tolerance"] is True
        chosen = {"calibrate"} if record.calibration else set()  # where the device has bfloat16
        assert set(record.phases) == {"load", "compress", "finetune", "evaluate"} | chosen
        assert entry["stats"]["rounds"] == 1
        assert entry["stats"]["mean"] == pytest.approx(
            record.phases["finetune"].duration_s, rel=0.05, abs=0.2
        )
        assert record.test is not None
        assert record.test.items == 600
    assert baseline["extra_info"]["accuracy_drop_pp"] == 0.0
    assert stego["extra_info"]["compression_rate"] > 0
    assert data["machine_info"]["energybench"]["python"]


def test_the_largest_batch_is_found_before_anything_is_measured(session: pytest.Pytester) -> None:
    result = session.runpytest_subprocess(
        "--energy-batch-size=auto", "--energy-max-epochs=1", "--benchmark-json=out.json"
    )
    result.stdout.fnmatch_lines(["largest batch of tiny that fits: 256 images"])
    for entry in load(session.path / "out.json")["benchmarks"]:
        record = from_json(entry["extra_info"]["energybench"])
        assert record.protocol.batch_size == 256
        assert record.epochs[0].steps == 1


def test_the_table_comes_after_pytest_benchmarks_own(session: pytest.Pytester) -> None:
    result = session.runpytest_subprocess()
    result.stdout.fnmatch_lines(
        [
            "*benchmark 'tiny': 2 tests*",
            "*energybench: energy of fine-tuning*",
            "model*method*energy*saving*epochs*time*accuracy*drop*freed*source*",
            "tiny*baseline*0*Wh*replay*",
            "tiny*stego*0*Wh*replay*",
        ]
    )


def test_a_second_run_gives_the_same_accuracies_and_epochs(session: pytest.Pytester) -> None:
    runs = []
    methods = (
        "--energy-methods=baseline,stego-fp32"  # stego itself measures which arithmetic to take
    )
    for name in ("a.json", "b.json"):
        session.runpytest_subprocess(f"--benchmark-json={name}", "--energy-seeds=2", methods)
        records = [
            from_json(b["extra_info"]["energybench"])
            for b in load(session.path / name)["benchmarks"]
        ]
        runs.append(
            [
                (r.model, r.method, r.seed, r.test, [e.validation_loss for e in r.epochs])
                for r in records
            ]
        )
    assert len(runs[0]) == 4
    assert runs[0] == runs[1]


def test_a_method_alone_makes_its_reference_and_then_finds_it_cached(
    session: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ENERGYBENCH_CACHE", str(tmp_path / "empty"))
    sources = []
    for name in ("a.json", "b.json"):
        result = session.runpytest_subprocess("-k", "stego", f"--benchmark-json={name}", PASSES)
        result.assert_outcomes(passed=1, deselected=1)
        data = load(session.path / name)
        (entry,) = data["benchmarks"]
        sources.append(entry["extra_info"]["energybench"]["reference_source"])
        result.stdout.fnmatch_lines([f"tiny*stego*%{'' if name == 'a.json' else ' (cached)'} *"])
        on_demand = [record["method"] for record in data["energybench"]["records"]]
        assert on_demand == (["baseline"] if name == "a.json" else [])
    assert sources == ["this run", "cache"]


def test_a_drop_beyond_the_tolerance_fails_after_its_record_is_written(
    session: pytest.Pytester,
) -> None:
    result = session.runpytest_subprocess(
        "--energy-methods=baseline,ruin", "--benchmark-json=out.json"
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "tiny ruin seed 0 lost * pp of accuracy, tolerance 1: baseline * % "
            "(* of 600 test images), here * % (*); * images are classified differently; "
            "drop * pp [[]*, *], p *"
        ]
    )
    ruined = load(session.path / "out.json")["benchmarks"][1]["extra_info"]
    assert ruined["within_tolerance"] is False
    assert ruined["drop_low"] < ruined["drop"] < ruined["drop_high"]
    doubtful = session.runpytest_subprocess(
        "--energy-methods=baseline,ruin",
        "--energy-gate=confident",
        f"--energy-tolerance={ruined['drop'] - 0.1}",
    )
    doubtful.assert_outcomes(passed=2)
    doubtful.stdout.fnmatch_lines(["tiny*ruin* pp (undecided) *"])
    assert ruined["kwh"] > 0


def test_one_cells_failure_is_that_cells(session: pytest.Pytester) -> None:
    result = session.runpytest_subprocess(
        "--energy-methods=baseline,diverge,refuse,hungry", "--benchmark-json=out.json"
    )
    result.assert_outcomes(passed=1, failed=3)
    result.stdout.fnmatch_lines_random(
        [
            "tiny diverge seed 0: the training loss of epoch 1 is nan; *",
            "tiny refuse seed 0: nothing here to compress",
            "tiny hungry seed 0: out of memory; lower batch_size",
        ]
    )
    data = load(session.path / "out.json")
    timed = {b["extra_info"]["energybench"]["method"]: b["extra_info"] for b in data["benchmarks"]}
    assert set(timed) == {"baseline", "diverge", "hungry"}
    assert timed["diverge"]["status"] == "failed"
    assert timed["diverge"]["kwh"] > 0
    (refused,) = data["energybench"]["records"]
    assert refused["method"] == "refuse"
    assert set(refused["phases"]) == {"load", "compress"}


def test_the_floor_is_the_baseline_again_bit_for_bit(session: pytest.Pytester) -> None:
    result = session.runpytest_subprocess(
        "--energy-methods=baseline",
        "--energy-floor=2",
        "--energy-max-epochs=2",
        "--benchmark-json=out.json",
    )
    result.assert_outcomes(passed=3)
    rows = ["tiny*baseline *", "tiny*baseline-again *", "tiny*baseline-again-2 *"]
    result.stdout.fnmatch_lines(rows, consecutive=True)
    found = [
        from_json(one["extra_info"]["energybench"])
        for one in load(session.path / "out.json")["benchmarks"]
    ]
    assert {record.method for record in found} == {
        "baseline",
        "baseline-again",
        "baseline-again-2",
    }
    assert len({str([epoch.train_loss for epoch in record.epochs]) for record in found}) == 1
    assert len({record.test.outcomes for record in found if record.test}) == 1
    for record in found:
        assert record.compression is not None
        assert (record.drop, record.compression.compression_rate) == (0.0, 0.0)
        assert not record.compression.no_effect


def test_compositions_run(session: pytest.Pytester) -> None:
    result = session.runpytest_subprocess(
        "--energy-methods=baseline,lowrank+prune+stego",
        "--energy-tolerance=50",
        "--benchmark-json=out.json",
    )
    result.assert_outcomes(passed=2)
    record = load(session.path / "out.json")["benchmarks"][1]["extra_info"]["energybench"]
    assert [part["method"] for part in record["compression"]["parts"]] == [
        "lowrank",
        "prune",
        "stego",
    ]


def test_ini_keys_and_the_command_line_over_them(session: pytest.Pytester) -> None:
    session.makeini(
        f"[pytest]\nenergy_meter = replay\nenergy_replay = {TRACE}\nenergy_models = tiny2\n"
        "energy_max_epochs = 2\n"
        "energy_methods = baseline\nenergy_pue = 1\n"
    )
    session.runpytest_subprocess("--benchmark-json=out.json", "--energy-max-epochs=1")
    (entry,) = load(session.path / "out.json")["benchmarks"]
    assert entry["name"] == "test_finetune[tiny2-baseline-seed0]"
    assert entry["extra_info"]["epochs"] == 1
    assert entry["extra_info"]["energybench"]["protocol"]["pue"] == 1.0


def test_a_live_line_at_a_terminal_only(session: pytest.Pytester) -> None:
    script = shutil.which("script")
    if script is None:
        pytest.skip("needs the command `script` for a pseudo-terminal")
    command = f"{sys.executable} -m pytest --energy-methods=baseline"
    seen = session.run(script, "-qec", command, "typescript").stdout.str()
    assert "tiny baseline" in seen
    assert "validation 0." in seen
    assert "Captured" not in seen
    assert "validation 0." not in session.runpytest_subprocess().stdout.str()


@pytest.fixture
def checkpoint(session: pytest.Pytester, cache: Path) -> Path:
    """The tiny network's weights, with ten classes."""
    if not list(cache.glob("pretrained/tiny-*.safetensors")):
        session.runpytest_subprocess("-k", "baseline")
    weights, *_ = cache.glob("pretrained/tiny-*.safetensors")  # one for each seed that ran
    return Path(shutil.copy(weights, session.path / "mine.safetensors"))


def test_image_folders_and_a_checkpoint_with_another_head(
    session: pytest.Pytester, checkpoint: Path
) -> None:
    pixels = np.random.default_rng(0)
    for split, count in (("train", 40), ("val", 20)):
        for brightness, name in ((60, "dark"), (190, "light")):
            folder = session.path / "photographs" / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                noise = pixels.normal(brightness, 40, (24, 32, 3)).clip(0, 255).astype(np.uint8)
                Image.fromarray(noise).save(folder / f"{number}.jpg")
    result = session.runpytest_subprocess(
        "--energy-dataset=folder:photographs",
        f"--energy-weights={checkpoint}",
        "--energy-batch-size=16",
        "--energy-tolerance=10",
        "--benchmark-json=out.json",
    )
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        [
            "decoding 120 images of */photographs once, to 18 x 18 pixels: 117 kB in *",
            "before the cells: decoded 120 images to 18 x 18 pixels (117 kB): *J (replay), in no *",
        ]
    )
    data = load(session.path / "out.json")
    (preparation,) = data["energybench"]["preparations"]
    assert preparation["what"] == "decoded 120 images to 18 x 18 pixels (117 kB)"
    assert sum(preparation["reading"]["joules"].values()) > 0
    for entry in data["benchmarks"]:
        record = from_json(entry["extra_info"]["energybench"])
        assert record.dataset.splits == {"train": 72, "validation": 8, "test": 40}
        assert record.dataset.details["served"] == "cached, 18 pixels"
        assert record.weights.head_replaced is True
        assert record.epochs[0].steps == 4  # 72 images: four whole batches of 16
        assert record.value is not None
        assert record.value > 0.9  # a search at chance would have cleared every bit


@pytest.fixture
def torn(session: pytest.Pytester, checkpoint: Path) -> Callable[[str], list[str]]:
    """Makes class folders with one torn image in a split, and the options of a run on them."""

    def make(split_of_the_torn_image: str) -> list[str]:
        for split, count in (("train", 20), ("val", 3)):
            for name in ("a", "b"):
                folder = session.path / "photographs" / split / name
                folder.mkdir(parents=True)
                for number in range(count):
                    Image.new("RGB", (20, 20), (number, 0, 0)).save(folder / f"{number}.png")
        (session.path / "photographs" / split_of_the_torn_image / "b" / "1.png").write_bytes(b"x")
        return [
            "--energy-methods=baseline",
            "--energy-dataset=folder:photographs",
            f"--energy-weights={checkpoint}",
            "--energy-max-epochs=1",
            "--energy-batch-size=6",  # of 36: none is dropped
        ]

    return make


@pytest.mark.parametrize("split", ["train", "val"])  # read by a worker, by the run itself
def test_an_image_that_cannot_be_read_fails_its_cell_where_nothing_is_cached(
    session: pytest.Pytester, torn: Callable[[str], list[str]], split: str
) -> None:
    result = session.runpytest_subprocess(*torn(split), "--energy-data-cache=off")
    result.assert_outcomes(failed=1)
    line = f"cannot read image *photographs/{split}/b/1.png (not an image*); replace or delete it"
    result.stdout.fnmatch_lines([f"tiny baseline seed 0: {line}"])


def test_an_image_that_cannot_be_read_ends_the_run_or_is_left_out(
    session: pytest.Pytester, torn: Callable[[str], list[str]]
) -> None:
    options = torn("val")
    result = session.runpytest_subprocess(*options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    line = "1 of 46 images of photographs cannot be read: val/b/1.png (not an image*); replace or *"
    result.stderr.fnmatch_lines([f"ERROR: {line}bad_images skip"])
    skip = [*options, "--energy-bad-images=skip", "--benchmark-json=out.json"]
    result = session.runpytest_subprocess(*skip)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        ["1 of 46 images of photographs cannot be read and are left out: *"]
    )
    (entry,) = load(session.path / "out.json")["benchmarks"]
    record = from_json(entry["extra_info"]["energybench"])
    assert record.dataset.splits == {"train": 36, "validation": 4, "test": 5}
    assert record.dataset.details["skipped"] == [
        "val/b/1.png: not an image, or of another format than its name says"
    ]
    session.runpytest_subprocess(*skip, "--energy-resume").stdout.fnmatch_lines(
        ["*resumed from*1*"]
    )
