"""Whatever a tier's client raises becomes a `TierError`: nothing that it holds can break that."""

from types import SimpleNamespace

import httpx
import pytest
from pydantic import BaseModel, ValidationError, field_validator

from llm_tiers import Tier, TierError
from llm_tiers.integration.failures import tier_errors, what_is_wrong
from llm_tiers.testing import HttpError, LoopbackServer
from llm_tiers.usage import Usage


class Model:
    """A model without keys."""


class HoldsKey(BaseModel):
    api_key: str = "sk-very-secret-key"


class Unspeakable(Exception):  # noqa: N818 -- it stands for what a client raises
    def __str__(self):
        raise RuntimeError("cannot be told")


class Unanswerable(Exception):  # noqa: N818 -- it stands for what a client raises
    @property
    def response(self):
        raise RuntimeError("there is none")


class Failed(Exception):  # noqa: N818 -- it stands for what a client raises
    def __init__(self, response):
        super().__init__("failed")
        self.response = response


class Body:
    def __init__(self, body):
        self._body = body

    def json(self):
        return self._body


def failure_of(error, model=None):
    with pytest.raises(TierError) as failure, tier_errors(Tier(model or Model(), name="small")):
        raise error
    return failure.value


def test_an_error_event_in_a_stream_leaves_a_response_that_cannot_be_read():
    fault = HttpError(529, "Overloaded", code="overloaded_error", after="Par")
    body = {"model": "small", "messages": [{"role": "user", "content": "hello"}], "stream": True}
    with (
        LoopbackServer({"small": fault}) as server,
        httpx.stream("POST", f"{server.base_url}/chat/completions", json=body) as response,
    ):
        assert response.status_code == 200
        with pytest.raises(httpx.ResponseNotRead):
            response.json()
        failure = failure_of(Failed(response))

    assert failure.summary == "Failed: failed"
    assert failure.usage is None


@pytest.mark.parametrize("error", [Unspeakable(), Unanswerable("odd")], ids=["str", "response"])
def test_an_error_that_raises_when_it_is_looked_at(error):
    assert type(error).__name__ in failure_of(error).summary


def test_a_model_whose_fields_cannot_be_read_shows_nothing_of_the_error():
    class Broken(HoldsKey):
        def __getattribute__(self, name):
            if name == "api_key":
                raise RuntimeError("no key")
            return super().__getattribute__(name)

    assert failure_of(ValueError("wrong key sk-very-secret-key"), Broken()).summary == "ValueError"


def test_a_key_in_an_error_is_left_out():
    assert failure_of(ValueError("wrong key sk-very-secret-key"), HoldsKey()).summary == "ValueError: wrong key ***"


@pytest.mark.parametrize(
    ("body", "usage"),
    [
        ({"usage": {"prompt_tokens": 3, "completion_tokens": 4}}, Usage(3, 4)),
        ({"usage": {"prompt_tokens": "3", "completion_tokens": 4}}, None),
        ({"usage": {"prompt_tokens": -3, "completion_tokens": 4}}, None),
        ({"usage": {"prompt_tokens": True, "completion_tokens": 4}}, None),
        ({"usage": None}, None),
        (["usage"], None),
        (None, None),
    ],
)
def test_only_tokens_that_are_numbers_are_charged(body, usage):
    assert failure_of(Failed(Body(body))).usage == usage


@pytest.mark.parametrize(
    ("usage", "charged"),
    [
        (SimpleNamespace(prompt_tokens=3, completion_tokens=4), Usage(3, 4)),
        (SimpleNamespace(prompt_tokens=3, completion_tokens=None), None),
        (None, None),
    ],
)
def test_the_tokens_of_an_object_that_was_cut_short_are_charged(usage, charged):
    class LengthFinishReasonError(Exception):
        completion = SimpleNamespace(usage=usage)

    assert failure_of(LengthFinishReasonError()).usage == charged


def test_what_is_wrong_survives_a_validator_that_cannot_be_told():
    class Odd(BaseModel):
        name: str

        @field_validator("name")
        @classmethod
        def refuse(cls, value):
            raise ValueError("no")

    with pytest.raises(ValidationError) as refused:
        Odd(name="x")
    assert what_is_wrong(refused.value) == "'value_error'"
    assert what_is_wrong(ValueError("quotes the answer")) == "the answer cannot be read"
