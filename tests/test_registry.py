import re

import pytest

from energybench.errors import UsageError
from energybench.registry import (
    DATASETS,
    METERS,
    METHODS,
    MODELS,
    Registry,
    given_setting,
    method_parts,
)


@pytest.mark.parametrize("registry", [MODELS, METHODS, DATASETS, METERS], ids=lambda r: r.kind)
def test_every_name_resolves(registry: Registry) -> None:
    for name in set(registry.names()) - {"hf"}:
        assert registry.get(name) is not None


def test_a_name_that_needs_a_place_says_so() -> None:
    assert MODELS.check("hf:some/folder") == "hf:some/folder"
    with pytest.raises(UsageError, match=r"model hf needs a place; write hf:PATH\Z"):
        MODELS.check("hf:")
    with pytest.raises(UsageError, match="unknown model 'resnet18:here'"):
        MODELS.check("resnet18:here")


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


def test_a_setting_stands_behind_the_name_of_its_method() -> None:
    assert method_parts("lowrank + stego@022") == ("lowrank", "stego@22")
    assert method_parts("prune-once@.50") == ("prune-once@0.5",)
    assert given_setting("stego-once@22") == {"bits": 22}
    assert given_setting("prune@0.5") == {"fraction": 0.5}
    assert given_setting("stego") == {}


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("stego@32", "bits must be 1 to 31; write for instance stego@16"),
        ("stego@0", "bits must be 1 to 31"),
        ("stego-fp32@2.5", "bits must be 1 to 31"),
        ("stego@", "bits must be 1 to 31"),
        ("prune@1", "fraction must be 0.001 to 0.999; write for instance prune@0.5"),
        ("prune-once@nan", "fraction must be 0.001 to 0.999"),
        ("lowrank@0.5", "lowrank takes no setting; write lowrank alone"),
        ("baseline@1", "baseline takes no setting"),
        ("steg@12", "did you mean stego"),
        ("stego@12+stego", "names a part twice"),
        ("lora@0", "rank must be 1 to 1024"),
        ("freeze@0", "layers must be 1 to 1000"),
        ("lora+prune", "composes with stego, stego-fp32, stego-once, freeze-bn; drop prune"),
    ],
)
def test_a_wrong_setting_is_refused_in_one_line(wrong: str, says: str) -> None:
    with pytest.raises(UsageError, match=re.escape(says)) as found:
        method_parts(wrong)
    assert "\n" not in str(found.value)


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
