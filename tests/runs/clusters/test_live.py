"""What a running block does now, as its watchers read it."""

from pathlib import Path

from energybench.runs.clusters.live import LiveProgress, live_line


def test_a_line_says_how_far_a_cell_is_and_when_it_ends(tmp_path: Path) -> None:
    file = tmp_path / "live.json"
    progress = LiveProgress(None, lambda: None, file, "node7")
    with progress.bar("resnet18 stego", 50, at_most=True) as step:
        assert live_line(file) == "node7: resnet18 stego 0/50"
        step("loss 0.210")
        assert live_line(file) == "node7: resnet18 stego 1/50, loss 0.210, at most 0:00:00 to go"


def test_without_a_file_there_is_no_line(tmp_path: Path) -> None:
    assert live_line(tmp_path / "none.json") is None
