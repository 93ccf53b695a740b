import pytest

from energybench.energy.meters.wall.address import Address, address_of
from energybench.errors import UsageError


@pytest.mark.parametrize(
    ("text", "address", "place"),
    [
        ("shelly:plug.local:8080/2", Address("shelly", "plug.local", 8080, "2"), "plug.local:8080"),
        ("tasmota:[fe80::1]", Address("tasmota", "[fe80::1]", None, None), "[fe80::1]"),
        (
            "redfish:bmc/System.Embedded.1",
            Address("redfish", "bmc", None, "System.Embedded.1"),
            "bmc",
        ),
    ],
)
def test_an_address_is_taken_apart(text: str, address: Address, place: str) -> None:
    assert address_of(text) == address
    assert address.place == place


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "shelly",
        "shelly:",
        "plug:host",
        "http://host",
        "shelly:host:99999",
        "shelly:host:0",
        "shelly:user@host",
        "redfish:user:word@host",
        "shelly:host/one",
        "shelly:host/rpc/Switch.Toggle?id=0",
        "redfish:host/redfish/v1",
        "tasmota:host?cmnd=Power",
        "shelly:a b",
    ],
)
def test_anything_else_is_refused_in_one_line(wrong: str) -> None:
    with pytest.raises(UsageError, match="is no wall meter; write shelly:HOST") as found:
        address_of(wrong)
    assert "\n" not in str(found.value)
