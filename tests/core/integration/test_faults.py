"""What a client's error says: who can mend it, its status, and how long to wait."""

import time
from types import SimpleNamespace

import pytest

from llm_tiers.integration.faults import blame_of, retry_after_of, status_of, unknown_setting_in


class Refused(Exception):  # noqa: N818
    """Stands for an error of a client's."""

    def __init__(self, text="", **attributes):
        super().__init__(text)
        self.__dict__.update(attributes)


SCHEMA = "Invalid schema for {}: In context=('properties', 'x'), 'default' is not permitted."
"""As OpenAI says it: the context is a place in the schema, and no length."""


class ContextOverflowError(Exception):
    """Of the name of LangChain's."""


@pytest.mark.parametrize(
    ("error", "blame"),
    [
        (Refused(status_code=401), "setup"),
        (Refused(status_code=403), "setup"),
        (Refused(status_code=404), "setup"),
        (TypeError("create() missing 1 required argument"), "setup"),
        (Refused(status_code=429), "tier"),
        (Refused(status_code=500), "tier"),
        (Refused("no connection"), "tier"),
        (ConnectionError("refused"), "tier"),
        (TimeoutError("late"), "tier"),
        (Refused(status_code=413), "request"),
        (ContextOverflowError("too much"), "request"),
        (Refused("maximum context length is 8192", status_code=400), "request"),
        (Refused("max_tokens is too large", status_code=400), "request"),
        (Refused("Unsupported parameter: 'temperature'", status_code=400), "request"),
        (Refused("Unrecognized request argument supplied: seed", status_code=400), "request"),
        (Refused("Extra inputs are not permitted", status_code=400), "request"),
        (Refused("credit balance is too low", status_code=400), "request"),
        (Refused("API key not valid", status_code=400), "request"),
        (Refused("filtered", status_code=400, code="content_filter"), "request"),
        (Refused("", status_code=422, body={"message": "this model cannot do that"}), "request"),
        (ValueError("unknown role"), "request"),
        (Refused("Bad request", status_code=400), "refused"),
        (Refused("messages: at least one message is required", status_code=422), "refused"),
        (Refused(SCHEMA.format("function 'f'"), status_code=400, code="invalid_function_parameters"), "refused"),
        (Refused(SCHEMA.format("response_format 'City'"), status_code=400, param="response_format"), "refused"),
        (Refused("Invalid type: the model reads a list", status_code=400, code="invalid_type"), "refused"),
        (Refused("You must supply a model", status_code=400, code="missing_required_parameter"), "refused"),
        (TypeError("Object of type set is not JSON serializable"), "caller"),
    ],
    ids=lambda given: str(given)[:40],
)
def test_who_can_mend_it(error, blame):
    assert blame_of(error, status_of(error)) == blame


@pytest.mark.parametrize(
    ("attributes", "status"),
    [
        ({"status_code": 500}, 500),
        ({"http_status": 429}, 429),
        ({"code": 404}, 404),
        ({"response": SimpleNamespace(status_code=503)}, 503),
        ({"code": "insufficient_quota"}, None),
        ({"code": 7}, None),
        ({"status_code": True}, None),
        ({}, None),
    ],
    ids=str,
)
def test_its_status(attributes, status):
    assert status_of(Refused(**attributes)) == status


def test_how_long_to_wait():
    def after(value):
        return retry_after_of(Refused(response=SimpleNamespace(headers={"retry-after": value})))

    assert after("2.5") == 2.5
    assert after("-1") == 0
    assert after("soon") is None
    assert after(None) is None
    assert retry_after_of(Refused()) is None
    later = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 60))
    assert 50 < after(later) <= 60


def test_which_setting_is_unknown():
    assert unknown_setting_in(TypeError("create() got an unexpected keyword argument 'typo'")) == "typo"
    assert unknown_setting_in(ValueError("got an unexpected keyword argument 'typo'")) is None
    assert unknown_setting_in(TypeError("something else")) is None
