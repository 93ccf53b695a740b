"""Language models in a session: records, options that a mark sets, and one-line refusals."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.language import model_folder, text_folder

TEXTS = """
import pytest


@pytest.mark.energy_matrix(
    models=["hf:MODEL"],
    methods=["baseline", "lora@2+stego"],
    options={"dataset": "text:TEXT", "batch-size": 8, "block_length": 16, "max-epochs": 1},
)
def test_language(cell, energy_cell):
    energy_cell(cell)
"""


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders of a model and of a text, made once: pytester forgets modules that a test imports."""
    folder = tmp_path_factory.mktemp("language")
    return model_folder(folder / "model"), text_folder(folder / "text")


@pytest.fixture
def language(places: tuple[Path, Path], session: pytest.Pytester) -> pytest.Pytester:
    """A folder with a benchmark of a tiny language model, whose mark sets its options."""
    (session.path / "test_bench.py").unlink()
    ini = (session.path / "tox.ini").read_text()
    (session.path / "tox.ini").write_text(ini.replace("energy_dataset = digits\n", ""))
    model, text = map(str, places)
    source = TEXTS.replace("MODEL", model).replace("TEXT", text)
    session.makepyfile(test_language=source)
    return session


def records(path: Path) -> dict[str, dict[str, Any]]:
    found = [one["extra_info"] for one in json.loads(path.read_text())["benchmarks"]]
    return {one["energybench"]["method"]: one for one in found}


def test_a_run_records_tokens_and_is_the_same_again(language: pytest.Pytester) -> None:
    runs = []
    for number in (1, 2):
        file = language.path / f"{number}.json"
        done = language.runpytest_subprocess("--energy-tolerance=50", f"--benchmark-json={file}")
        done.assert_outcomes(passed=2)
        done.stdout.fnmatch_lines(["*next-token accuracy*"])
        runs.append(records(file))
    for method, one in runs[0].items():
        record = one["energybench"]
        assert record["dataset"]["item"] == "token"
        assert record["dataset"]["details"] == {"block_length": 16, "vocabulary": 1024}
        assert record["protocol"]["batch_size"] == 8
        test, again = record["test"], runs[1][method]["energybench"]["test"]
        assert test["items"] == record["dataset"]["splits"]["test"]
        assert one["perplexity"] > 1.0
        assert one["tokens_per_s"] > 0
        assert one["joules_per_1000_tokens"] > 0
        assert test == again, "the second run is the same bit for bit"
    notes = runs[0]["lora@2+stego"]["energybench"]["compression"]["parts"][0]["notes"]
    assert any("transformer.wte.weight and lm_head.weight are one parameter" in n for n in notes)


def test_a_flag_overrides_what_a_mark_sets(language: pytest.Pytester) -> None:
    done = language.runpytest_subprocess("--energy-block-length=100")
    done.stderr.fnmatch_lines(["*takes blocks of at most 64 tokens, and block-length is 100*"])
    assert done.ret == 4


def test_benchmarks_that_set_other_options_need_sessions_of_their_own(
    language: pytest.Pytester,
) -> None:
    language.makepyfile(
        test_other="""
        import pytest

        @pytest.mark.energy_matrix(["resnet18"], ["baseline"])
        def test_other(cell, energy_cell):
            energy_cell(cell)
        """
    )
    done = language.runpytest_subprocess("--collect-only", "-q")
    done.stdout.fnmatch_lines(
        ["*this mark sets the options {}, another benchmark of this session*"]
    )


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("{'datasett': 'text'}", "options has an unknown name, 'datasett'; did you mean dataset?*"),
        ("{'batch-size': 'x'}", "*batch-size in options is x; it must be a whole number*"),
        ("['text']", "options is ['text'], not names with values; write for instance options=*"),
    ],
)
def test_a_wrong_option_of_a_mark_is_refused_in_one_line(
    options: str, says: str, session: pytest.Pytester
) -> None:
    session.makepyfile(
        test_bench=f"""
        import pytest

        @pytest.mark.energy_matrix(["resnet18"], ["baseline"], options={options})
        def test_bench(cell, energy_cell):
            energy_cell(cell)
        """
    )
    done = session.runpytest_subprocess("--collect-only", "-q")
    done.stdout.fnmatch_lines([f"*{says.replace('[', '[[]')}"])
