import socket

import pytest

from energybench.energy.carbon import carbon_intensity
from energybench.errors import UsageError


def test_factors_of_countries_without_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("tried to connect"))
    france, poland = carbon_intensity("FRA"), carbon_intensity("pol")
    assert (france.country, poland.country) == ("FRA", "POL")
    assert france.kg_per_kwh is not None
    assert poland.kg_per_kwh is not None
    assert 0.0 < france.kg_per_kwh < 0.2 < poland.kg_per_kwh < 1.2
    assert france.source.startswith("codecarbon 3.")


@pytest.mark.parametrize(("code", "hint"), [("DE", "DEU"), ("Q9", "three letters, as FRA")])
def test_an_unknown_country_is_refused_not_averaged(code: str, hint: str) -> None:
    with pytest.raises(UsageError, match=f"no emission factor for '{code}'.*{hint}"):
        carbon_intensity(code)
