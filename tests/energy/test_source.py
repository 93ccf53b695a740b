import pytest

from energybench.energy.source import Kind, Source, as_source, kind_of_source, names_an_estimate


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("nvml_counter", "measured"),
        ("nvml_power", "measured"),
        ("rapl", "measured"),
        ("zeus", "measured"),
        ("codecarbon_estimate", "estimated"),
        ("replay", "replayed"),
        ("wall", "measured"),
        ("datasheet_estimate", "estimated"),
    ],
)
def test_a_name_in_a_record_tells_the_kind(name: str, kind: Kind) -> None:
    assert kind_of_source(name) == kind
    assert as_source(name) == Source(name, kind)
    assert names_an_estimate(["rapl", name]) == (kind == "estimated")


def test_what_a_meter_says_itself_holds() -> None:
    source = Source("no_estimate_at_all", "measured")
    assert as_source(source) is source
    assert str(source) == "no_estimate_at_all"


def test_an_unknown_kind_or_another_type_is_refused() -> None:
    with pytest.raises(ValueError, match="'wall' has the kind 'guessed'; known: measured, est"):
        Source("wall", "guessed")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="None is not a source"):
        as_source(None)  # type: ignore[arg-type]
