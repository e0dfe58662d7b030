"""What a call needs of a tier, as far as profiles tell: a tier that cannot read the call is not asked."""

import json

import pytest
from langchain_core.messages import HumanMessage
from pydantic import BaseModel

from llm_tiers import Tier

# pydantic says so of langchain_openai, which dumps the parsed object of a streamed answer.
pytestmark = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")

PDF = "JVBERi0xLjQK"


class City(BaseModel):
    """A city."""

    name: str


BLOCKS = [
    ("image_inputs", "images", {"type": "image", "base64": "aGVsbG8=", "mime_type": "image/png"}),
    ("audio_inputs", "audio", {"type": "audio", "base64": "aGVsbG8=", "mime_type": "audio/wav"}),
    ("audio_inputs", "audio", {"type": "input_audio", "input_audio": {"data": "aGVsbG8=", "format": "wav"}}),
    ("pdf_inputs", "pdf", {"type": "file", "base64": PDF, "mime_type": "application/pdf", "filename": "a.pdf"}),
    (
        "pdf_inputs",
        "pdf",
        {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}},
    ),
    ("pdf_inputs", "pdf", {"type": "file", "file": {"file_id": "file-1"}}),
]


@pytest.fixture
def ladder(server, chat, tiered):
    """Make a model whose cheapest tier lacks something, as its profile says."""
    server.scripts |= dict.fromkeys(("small", "large"), json.dumps({"name": "Paris"}))

    def make(profile):
        tiers = [chat("small", profile=profile), chat("large", profile={})]
        return tiered(tiers=tiers, judge=lambda question, answer: True)

    return make


def asked(server):
    return [request.model for request in server.requests]


@pytest.mark.parametrize(("key", "need", "block"), BLOCKS)
@pytest.mark.parametrize("able", [True, False, None])
def test_what_a_message_holds(server, ladder, take, key, need, block, able):
    message = HumanMessage([{"type": "text", "text": "What is this?"}, block])

    *_, last = take(ladder({} if able is None else {key: able}), [message])

    assert asked(server) == (["large"] if able is False else ["small"])
    warnings = last.response_metadata["tiers"]["warnings"]
    assert warnings == ([f"tier small skipped: no {need}"] if able is False else [])


def test_a_file_that_is_no_pdf_needs_nothing(server, ladder):
    text = {"type": "file", "base64": "aGk=", "mime_type": "text/plain", "filename": "a.txt"}

    ladder({"pdf_inputs": False}).invoke([HumanMessage([{"type": "text", "text": "What is this?"}, text])])

    assert asked(server) == ["small"]


@pytest.mark.parametrize("able", [True, False])
def test_structured_output_of_the_provider(server, ladder, take, able):
    chain = ladder({"structured_output": able}).with_structured_output(City, method="json_schema")

    assert take(chain, "Which city?")[-1] == City(name="Paris")

    assert asked(server) == (["small"] if able else ["large"])


def test_a_response_format_is_one_too(server, ladder, take):
    shape = {"type": "json_schema", "json_schema": {"name": "city", "schema": City.model_json_schema()}}

    take(ladder({"structured_output": False}).bind(response_format=shape), "Which city?")

    assert asked(server) == ["large"]


def test_an_object_by_json_mode_or_in_the_tiers_own_way_needs_none(server, ladder):
    model = ladder({"structured_output": False})

    model.with_structured_output(City, method="json_mode").invoke("Which city?")
    model.bind(response_format={"type": "json_object"}).invoke("Which city?")

    assert asked(server) == ["small", "small"]


def test_what_the_user_says_of_a_tier_counts(server, chat, tiered):
    tiers = [Tier(chat("small"), capabilities={"tools", "images"}), chat("large")]

    tiered(tiers=tiers).invoke([HumanMessage([{"type": "text", "text": "What is this?"}, BLOCKS[3][2]])])

    assert asked(server) == ["large"]
