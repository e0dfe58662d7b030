"""Which settings of a call a tier takes."""

from types import SimpleNamespace

import pytest
from pydantic import BaseModel, Field

from llm_tiers import Ladder, Tier
from llm_tiers.ladder.provider import provider_of
from llm_tiers.ladder.taken import TakenSettings


class Small(BaseModel):
    temperature: float | None = None


class Large(BaseModel):
    model: str
    base_url: str | None = None
    tokens: int | None = Field(default=None, alias="max_tokens")


class Client:
    def create(self, *, messages, user=None):
        """Ask."""


class Open:
    def create(self, **settings):
        """Ask."""


class WithClient(BaseModel):
    model: str
    client: object = None


@pytest.fixture
def taken():
    def taken(*models):
        tiers = Ladder(Tier(model, name=name) for model, name in zip(models, ("a", "b", "c"), strict=False))
        return TakenSettings(tiers), *tiers

    return taken


def test_a_standard_setting_that_a_model_lacks_is_left_out(taken):
    settings, small, large = taken(Small(), Large(model="x"))
    assert settings.left_out(small, {"temperature", "max_tokens"}) == {"max_tokens"}
    assert settings.left_out(large, {"temperature", "max_tokens"}) == {"temperature"}


def test_a_model_without_fields_says_nothing(taken):
    settings, small, _ = taken(SimpleNamespace(), SimpleNamespace())
    assert settings.left_out(small, {"temperature", "seed"}) == frozenset()


def test_what_is_refused_is_left_out_where_another_tier_takes_it(taken):
    settings, small, _ = taken(Small(), WithClient(model="x", client=Client()))
    assert settings.left_out(small, {"user"}) == frozenset()
    assert settings.refuse(small, "user")
    assert settings.left_out(small, {"user", "seed"}) == {"user"}


def test_what_no_tier_takes_is_not_left_out(taken):
    settings, small, _ = taken(Small(), WithClient(model="x", client=Client()))
    assert not settings.refuse(small, "typo")
    assert settings.left_out(small, {"typo"}) == frozenset()


def test_a_tier_of_another_kind_that_says_nothing_may_take_it_until_it_refuses(taken):
    settings, small, other = taken(Small(), WithClient(model="x", client=Open()))
    assert settings.refuse(small, "seed")
    assert not settings.refuse(other, "seed")
    assert settings.left_out(small, {"seed"}) == frozenset()


def test_a_tier_of_the_same_kind_that_says_nothing_refuses_it_too(taken):
    settings, small, _ = taken(WithClient(model="x", client=Open()), WithClient(model="y", client=Open()))
    assert not settings.refuse(small, "seed")


def test_a_provider_is_a_class_and_an_address_without_secrets():
    kind, address = provider_of(Large(model="x", base_url="https://me:sk-secret@host:1/v1/?key=sk-secret"))
    assert kind.endswith("Large")
    assert address == "https://host:1/v1"
    assert provider_of(Large(model="x"))[1] == ""
