"""JSON of a device in the local network, read over HTTP."""

import json
import os
import ssl
from collections.abc import Mapping
from functools import cache
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import (
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    build_opener,
)

from energybench.energy.meters.base import MeterUnavailable
from energybench.energy.meters.slow import TIMEOUT_S

MOST_BYTES = 262_144
"""The longest answer that is read; a Shelly's takes some 2,000 bytes."""


class _NoRedirect(HTTPRedirectHandler):
    """Stays with the address that the user gave."""

    def redirect_request(self, *_: Any) -> None:
        return None


@cache
def _opener(authority: str | None) -> OpenerDirector:
    """Trust the certificates of the file `authority`, or the system's; ask no proxy."""
    context = ssl.create_default_context()  # reads SSL_CERT_FILE itself
    return build_opener(ProxyHandler({}), _NoRedirect, HTTPSHandler(context=context))


def get_json(
    url: str, hint: str, password_hint: str, headers: Mapping[str, str] | None = None
) -> Any:
    """Ask `url` once and return its JSON.

    Raises `MeterUnavailable` with the reason. `hint` says what is expected there, and
    `password_hint` what to do where a password is asked for.
    """
    opener = _opener(os.environ.get("SSL_CERT_FILE"))
    try:
        with opener.open(Request(url, headers=dict(headers or {})), timeout=TIMEOUT_S) as response:
            text = response.read(MOST_BYTES)
    except HTTPError as error:
        asks = f"; it asks for a password, {password_hint}" if error.code == 401 else ""
        what = f"; is it {hint}?" if error.code < 500 else ""
        raise MeterUnavailable(f"it answers with status {error.code}{asks}{what}") from error
    except TimeoutError as error:
        raise MeterUnavailable(f"no answer within {TIMEOUT_S:g} s") from error
    except (URLError, OSError, HTTPException) as error:
        raise MeterUnavailable(f"it cannot be reached: {_reason(error)}") from error
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MeterUnavailable(
            f"its answer is not JSON ({str(text[:20])[2:-1]}...); is it {hint}?"
        ) from error


def _reason(error: Exception) -> str:
    cause = getattr(error, "reason", error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not trusted ({cause.verify_message}); name a file with the "
            "certificate of its authority in SSL_CERT_FILE"
        )
    return getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
