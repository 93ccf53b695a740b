import re

import pytest

from energybench.errors import UsageError
from energybench.registry import DATASETS, METERS, METHODS, MODELS, Registry, method_parts


@pytest.mark.parametrize("registry", [MODELS, METHODS, DATASETS, METERS], ids=lambda r: r.kind)
def test_every_name_resolves(registry: Registry) -> None:
    for name in registry.names():
        assert registry.get(name) is not None


def test_an_unknown_name_comes_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=re.escape("did you mean resnet18")):
        MODELS.check("resnet8")
    with pytest.raises(UsageError, match=r"known: baseline, .*stego"):
        METHODS.check("xyzzy")


def test_compositions() -> None:
    assert method_parts("stego") == ("stego",)
    assert method_parts("lowrank+stego") == ("lowrank", "stego")
    for wrong in ("stego+stego", "baseline+stego", "stego+", "stego+nothing"):
        with pytest.raises(UsageError):
            method_parts(wrong)


def test_two_targets_for_one_name_raise(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import EntryPoint

    clash = EntryPoint("stego", "other:Stego", "energybench.methods")
    monkeypatch.setattr("energybench.registry.entry_points", lambda group: [clash])
    with pytest.raises(UsageError, match="registered twice"):
        Registry("method", {"stego": "mine:Stego"}).names()
    assert Registry("method", {"stego": "other:Stego"}).names() == ["stego"]


def test_other_packages_register_by_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import EntryPoint

    point = EntryPoint("mine", "collections:OrderedDict", "energybench.datasets")
    found = {"energybench.datasets": [point]}
    monkeypatch.setattr("energybench.registry.entry_points", lambda group: found[group])
    registry = Registry("data set", {})
    assert registry.check("mine") == "mine"
    assert registry.get("mine").__name__ == "OrderedDict"
