"""Texts: the embedded one, files and folders; splits, blocks, and what cannot be used."""

import re
from pathlib import Path

import pytest
import torch
from support.language import sentences, text_folder

from energybench.config import DataConfig
from energybench.errors import UsageError
from energybench.progress import Progress
from energybench.workloads.base import CountsItems, Varies
from energybench.workloads.language import corpus
from energybench.workloads.language.blocks import packed
from energybench.workloads.language.texts import Texts, open_text

CPU = torch.device("cpu")


def prepared(location: str = "", block_length: int = 16) -> Texts:
    source = open_text(location)
    return source.prepare((), CPU, DataConfig(block_length=block_length), Progress(None), print)


def test_the_embedded_text_has_a_domain_to_pretrain_on_and_another_to_fine_tune() -> None:
    data = prepared()
    assert data.split_sizes["pretrain"] > 400_000
    assert "Assert statements" in data.parts["pretrain"]
    whole = "".join(data.parts[split] for split in ("train", "validation", "test"))
    assert len(whole) == len(corpus.library())
    assert whole.count("\n") == corpus.library().count("\n")
    assert len(data.parts["train"]) > 3 * len(data.parts["test"])


def test_a_seed_draws_other_splits_of_the_same_text() -> None:
    data = prepared()
    assert isinstance(data, Varies)
    other = data.varied(1)
    assert other.parts["pretrain"] == data.parts["pretrain"]
    assert other.parts["test"] != data.parts["test"]
    assert other.fingerprint != data.fingerprint
    assert data.varied(0) is data
    assert other.varied(0).fingerprint == data.fingerprint


def test_a_file_is_split_by_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "novel.txt"
    path.write_text(sentences(100, 0))
    data = prepared(str(path))
    assert data.name == f"text:{path}"
    assert "".join(data.parts[split] for split in ("train", "validation", "test")) == (
        path.read_text()
    )
    assert all(text.endswith("\n") for text in data.parts.values())
    assert not isinstance(data, Varies)


def test_a_folder_has_a_file_or_a_folder_per_split(tmp_path: Path) -> None:
    folder = text_folder(tmp_path / "corpus")
    (folder / "test.txt").rename(folder / "moved")
    (folder / "test").mkdir()
    (folder / "test" / "b.txt").write_text("second")
    (folder / "test" / "a.txt").write_text("first")
    (folder / "test" / ".hidden").write_bytes(b"\xff")
    assert prepared(str(folder)).parts["test"] == "first\nsecond"


def test_blocks_predict_every_token_but_the_first_once() -> None:
    blocks = packed(torch.arange(11), 3, "the text")
    assert blocks.tolist() == [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]]


def test_a_batch_pairs_tokens_with_those_that_follow() -> None:
    task = prepared(block_length=32).task("gpt2-tiny", None, CPU)
    assert isinstance(task, CountsItems)
    batches = task.batches("train", 4, seed=0)
    tokens, following = next(iter(batches))
    assert tokens.shape == following.shape == (4, 32)
    assert torch.equal(tokens[:, 1:], following[:, :-1])
    assert len(batches) == task.split_sizes["train"] // 32 // 4
    ordered = [first for first, _ in task.batches("validation", 4, seed=0)]
    again = [first for first, _ in task.batches("validation", 4, seed=5)]
    assert all(map(torch.equal, ordered, again))
    assert sum(part.numel() for part in ordered) == task.split_sizes["validation"]


def test_ranks_share_each_batch() -> None:
    task = prepared().task("gpt2-tiny", None, CPU)
    (whole, _), *_ = task.batches("train", 6, seed=3)
    parts = [next(iter(task.batches("train", 6, seed=3, share=(rank, 2))))[0] for rank in (0, 1)]
    assert torch.equal(torch.cat(parts), whole)


@pytest.mark.parametrize(
    ("contents", "says"),
    [
        ("", "the train split of PATH is empty; put some text there"),
        (" \n\n \n", "is empty"),
        (b"caf\xe9 au lait", "is not UTF-8 text: byte 3 is 0xe9; convert it, or take it away"),
    ],
)
def test_a_text_that_cannot_be_used_is_refused_in_one_line(
    contents: str | bytes, says: str, tmp_path: Path
) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(contents if isinstance(contents, bytes) else contents.encode())
    with pytest.raises(UsageError, match=re.escape(says.replace("PATH", str(path)))) as found:
        open_text(str(path))
    assert "\n" not in str(found.value)


def test_a_missing_text_or_split_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no text at .*nowhere; name a file, or a folder with"):
        open_text(str(tmp_path / "nowhere"))
    folder = text_folder(tmp_path / "corpus")
    (folder / "validation.txt").unlink()
    with pytest.raises(UsageError, match=r"no validation text; put a file validation\.txt or"):
        open_text(str(folder))


def test_a_text_shorter_than_a_block_says_so(tmp_path: Path) -> None:
    path = tmp_path / "short.txt"
    path.write_text("a few words\n" * 60)
    task = prepared(str(path), 128).task("gpt2-tiny", None, CPU)
    with pytest.raises(UsageError, match=r"has \d+ tokens, fewer than one block of 128 .*; give"):
        task.facts() and task.split_sizes


def test_a_block_longer_than_the_model_sees_is_refused() -> None:
    with pytest.raises(UsageError, match="gpt2-tiny takes blocks of at most 256 tokens"):
        prepared(block_length=300).task("gpt2-tiny", None, CPU)


def test_images_and_texts_name_each_others_models() -> None:
    with pytest.raises(UsageError, match="resnet18 is no language model; with a text, name gpt2"):
        prepared().task("resnet18", None, CPU)
    from energybench.workloads.images.data.digits import Digits

    with pytest.raises(UsageError, match="gpt2-tiny does not classify images; run it with a text"):
        Digits().task("gpt2-tiny", None, CPU)
