"""Why an answer ends, in each provider's words."""

from enum import Enum
from types import SimpleNamespace

import pytest

from llm_tiers.integration.finish import finish_in, last_finish

Google = Enum("Google", "STOP MAX_TOKENS SAFETY")


@pytest.mark.parametrize(
    ("place", "finish"),
    [
        ({"finish_reason": "length"}, "length"),
        ({"finish_reason": "content_filter"}, "filter"),
        ({"finish_reason": "stop"}, "stop"),
        ({"finish_reason": "tool_calls"}, "stop"),
        ({"stop_reason": "max_tokens"}, "length"),
        ({"stop_reason": "refusal"}, "filter"),
        ({"stop_reason": "end_turn"}, "stop"),
        ({"stopReason": "guardrail_intervened"}, "filter"),
        ({"done_reason": "length"}, "length"),
        ({"finish_reason": "MAX_TOKENS"}, "length"),
        ({"finish_reason": Google.SAFETY}, "filter"),
        ({"finish_reason": Google.STOP}, "stop"),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "length"),
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, "filter"),
        ({"status": "incomplete", "incomplete_details": SimpleNamespace(reason="content_filter")}, "filter"),
        ({"status": "incomplete"}, "length"),
        ({"status": "completed", "incomplete_details": None}, None),
        ({"finish_reason": None}, None),
        ({"finish_reason": 3}, None),
        ({}, None),
        (None, None),
    ],
)
def test_each_provider_has_its_own_words(place, finish):
    assert finish_in(place) == finish


def test_the_last_reason_counts():
    assert last_finish(["stop", None, "length", None]) == "length"
    assert last_finish([None]) is None
