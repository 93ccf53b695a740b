"""The cache folder of users as they are: without a home, or with one that is read-only."""

import os
import pwd
import tempfile
from pathlib import Path

import pytest

from energybench import files
from energybench.errors import UsageError
from energybench.files import cache_folder, expanded


@pytest.fixture
def stranger(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A user id that the system does not know, and HOME unset; returns the temporary folder."""

    def unknown(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    for name in ("HOME", "XDG_CACHE_HOME", "ENERGYBENCH_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    files._temporary_cache.cache_clear()
    return tmp_path / "tmp"


def test_a_user_without_a_home_has_a_cache_and_is_told_where(
    stranger: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = stranger / f"energybench-{os.getuid()}"
    assert cache_folder("images") == own / "images"
    assert own.stat().st_mode & 0o777 == 0o700
    cache_folder("pretrained")
    (line,) = caplog.messages
    assert line.startswith(f"there is no home folder; the cache is in {own}, until that is cleared")


@pytest.mark.parametrize("variable", ["HOME", "XDG_CACHE_HOME"])
def test_so_has_one_whose_home_cannot_be_written_to(
    stranger: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    variable: str,
) -> None:
    home = tmp_path / "home"
    home.touch()
    monkeypatch.setenv(variable, str(home))
    assert cache_folder() == stranger / f"energybench-{os.getuid()}"
    assert f"cannot create {home}" in caplog.text


def test_a_cache_in_a_home_that_is_now_read_only_is_used(
    stranger: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "energybench"


def test_nobody_else_chooses_what_lies_in_the_temporary_cache(
    stranger: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    place = stranger / f"energybench-{os.getuid()}"
    place.symlink_to(tmp_path)
    with pytest.raises(UsageError, match=r"another user's.*set ENERGYBENCH_CACHE to a folder"):
        cache_folder()
    place.unlink()
    place.mkdir()
    other = place.stat().st_uid + 1
    place.rename(stranger / f"energybench-{other}")
    monkeypatch.setattr(os, "getuid", lambda: other)
    with pytest.raises(UsageError, match="another user's"):
        cache_folder()


def test_the_users_own_choice_is_kept(
    stranger: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ENERGYBENCH_CACHE", str(tmp_path / "mine"))
    assert cache_folder("images") == tmp_path / "mine" / "images"
    (tmp_path / "file").touch()
    monkeypatch.setenv("ENERGYBENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(UsageError, match="set ENERGYBENCH_CACHE to a folder you can write to"):
        cache_folder("images")


def test_a_home_that_is_not_known_is_no_traceback(stranger: Path) -> None:
    assert expanded("~/images") == Path("~/images")
