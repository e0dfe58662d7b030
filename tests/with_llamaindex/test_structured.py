"""Objects: each tier is asked in its own way, and what is no object of the class goes one tier up."""

import json

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.output_parsers import PydanticOutputParser
from llama_index.core.prompts import PromptTemplate
from llama_index.core.types import PydanticProgramMode
from pydantic import ValidationError

from llm_tiers import ConfigError, PromptJudge
from llm_tiers.testing import HttpError, Reply, ToolCall, obliging

RIGHT = {"name": "Paris", "people": 2}
WRONG = {"name": "Lyon"}


def call(arguments):
    return Reply(calls=(ToolCall("City", arguments),))


@pytest.fixture
def by_tool(server):
    """Tiers that are asked by a tool call, as all models are that take no JSON schema."""
    server.scripts |= {"small": call(WRONG), "medium": call(RIGHT), "large": call(RIGHT)}


@pytest.fixture
def by_schema(server, openai, tiered):
    """Tiers of OpenAI's that take a JSON schema."""
    names = ("gpt-4.1-nano", "gpt-4.1-mini", "gpt-4.1")
    server.scripts |= {names[0]: json.dumps(WRONG), names[1]: json.dumps(RIGHT), names[2]: json.dumps(RIGHT)}
    return lambda **settings: tiered(tiers=[openai(name) for name in names], **settings)


@pytest.fixture
def by_text(server):
    """Tiers that are asked for JSON in words."""
    server.scripts |= {"small": "Lyon, I think.", "medium": json.dumps(RIGHT), "large": json.dumps(RIGHT)}


def test_an_object_that_does_not_fit_goes_one_up(by_tool, server, tiered, take, city, prompt, traces):
    objects = take(tiered(on_trace=traces.append), "structured_predict", city, prompt, country="France")

    assert objects[-1] == city(**RIGHT)
    assert [request.model for request in server.requests] == ["small", "medium"]
    assert [attempt.by for attempt in traces[0].attempts] == ["schema", "schema"]
    assert [attempt.verdict for attempt in traces[0].attempts] == ["invalid", "valid"]
    assert "Lyon" not in traces[0].model_dump_json()


@pytest.fixture
def traces():
    return []


def test_in_the_providers_own_way(by_schema, server, take, city, prompt):
    assert take(by_schema(), "structured_predict", city, prompt, country="France")[-1] == city(**RIGHT)
    assert all(request.settings["response_format"]["type"] == "json_schema" for request in server.requests)
    assert [request.model for request in server.requests] == ["gpt-4.1-nano", "gpt-4.1-mini"]


def test_tokens_are_known_though_the_object_does_not_tell_them(by_tool, tiered, take, city, prompt, traces, sent):
    take(tiered(on_trace=traces.append), "structured_predict", city, prompt, country="France")

    assert traces[0].usage.input_tokens == sent()
    assert traces[0].cost_usd > 0


def test_what_a_tier_cannot_do_is_learned(by_tool, tiered, learner, city, prompt, traces):
    llm = tiered(starter=learner, on_trace=traces.append)
    for _ in range(4):
        llm.structured_predict(city, prompt, country="France")

    assert [trace.start for trace in traces] == ["small", "small", "small", "medium"]


@pytest.mark.parametrize("mode", [PydanticProgramMode.LLM, PydanticProgramMode.FUNCTION])
def test_another_mode_is_asked_of_every_tier(server, tiered, take, city, prompt, mode):
    in_words = mode is PydanticProgramMode.LLM
    server.scripts |= {
        "small": "Lyon, I think." if in_words else call(WRONG),
        "medium": json.dumps(RIGHT) if in_words else call(RIGHT),
    }

    objects = take(tiered(pydantic_program_mode=mode), "structured_predict", city, prompt, country="France")

    assert objects[-1] == city(**RIGHT)
    assert ("tools" in server.requests[0].settings) is not in_words
    assert [request.model for request in server.requests] == ["small", "medium"]


def test_the_tiers_own_mode_is_kept(by_text, server, like, tiered, take, city, prompt):
    mode = PydanticProgramMode.LLM
    models = [like(name, pydantic_program_mode=mode) for name in ("small", "medium")]

    assert take(tiered(tiers=models), "structured_predict", city, prompt, country="France")[-1] == city(**RIGHT)
    assert "tools" not in server.requests[0].settings


def test_a_mode_set_in_the_settings_of_llamaindex(by_text, tiered, city, prompt):
    llm = tiered()
    llm.pydantic_program_mode = PydanticProgramMode.LLM

    assert llm.structured_predict(city, prompt, country="France") == city(**RIGHT)


def test_completion_models_are_asked_in_words(by_text, like, tiered, take, city, prompt):
    models = [like(name, is_chat_model=False, is_function_calling_model=False) for name in ("small", "medium")]

    assert take(tiered(tiers=models), "structured_predict", city, prompt, country="France")[-1] == city(**RIGHT)


def test_an_object_that_fits_is_judged_on_request(by_tool, server, tiered, city, prompt):
    server.scripts |= {"small": call(RIGHT), "medium": "yes"}

    tiered(judge=PromptJudge(judge_formed=True)).structured_predict(city, prompt, country="France")

    assert [request.judges for request in server.requests] == [False, True]


@pytest.mark.filterwarnings("ignore:The `json` method is deprecated")  # LlamaIndex's own
def test_as_structured_llm(by_tool, tiered, city):
    structured = tiered().as_structured_llm(city)

    assert structured.complete("Name a city.").raw == city(**RIGHT)
    assert structured.chat([ChatMessage(content="Name a city.")]).raw == city(**RIGHT)
    chunks = list(structured.stream_chat([ChatMessage(content="Name a city.")]))
    assert chunks[-1].raw == city(**RIGHT)


@pytest.mark.filterwarnings("ignore:The `json` method is deprecated")
async def test_as_structured_llm_in_asyncio(by_tool, tiered, city):
    structured = tiered().as_structured_llm(city)

    assert (await structured.acomplete("Name a city.")).raw == city(**RIGHT)
    stream = await structured.astream_chat([ChatMessage(content="Name a city.")])
    assert [chunk.raw async for chunk in stream][-1] == city(**RIGHT)


def test_the_settings_of_the_user_stay_as_they_are(by_schema, take, city, prompt, server):
    settings = {"temperature": 0.5}

    take(by_schema(), "structured_predict", city, prompt, llm_kwargs=settings, country="France")

    assert settings == {"temperature": 0.5}
    assert server.requests[0].settings["temperature"] == 0.5
    assert prompt.output_parser is None


def test_a_pinned_tier(by_tool, server, tiered, city, prompt):
    tiered().structured_predict(city, prompt, llm_kwargs={"model": "large"}, country="France")

    assert [request.model for request in server.requests] == ["large"]


def test_the_system_prompt_goes_along(by_tool, server, tiered, city, prompt):
    tiered(system_prompt="Be short.").structured_predict(city, prompt, country="France")

    assert {request.messages[0]["content"] for request in server.requests} == {"Be short."}


@pytest.mark.parametrize("way", ["schema", "tool"])
def test_where_the_top_fails_llamaindex_says_what_it_says(by_schema, server, tiered, city, prompt, way):
    server.scripts |= dict.fromkeys(server.scripts, json.dumps(WRONG) if way == "schema" else call(WRONG))
    llm = by_schema() if way == "schema" else tiered()

    with pytest.raises(ValidationError if way == "schema" else ValueError, match="people"):
        llm.structured_predict(city, prompt, country="France")


def test_a_tier_that_fails_goes_one_up(by_tool, server, tiered, take, city, prompt, traces):
    server.scripts["small"] = HttpError(503)

    assert take(tiered(on_trace=traces.append), "structured_predict", city, prompt, country="F")[-1] == city(**RIGHT)
    assert "503" in traces[0].attempts[0].error


class TestParsers:
    """A text that somebody is known to read, and that cannot be read, goes one tier up; one that can is judged."""

    @pytest.fixture
    def parsed(self, city):
        return PromptTemplate("Name a city in {country}.", output_parser=PydanticOutputParser(city))

    def test_what_the_prompts_parser_cannot_read(self, by_text, tiered, parsed, traces):
        said = tiered(on_trace=traces.append, judge=lambda q, a: True).predict(parsed, country="France")

        assert json.loads(said) == RIGHT
        first, second = traces[0].attempts
        assert (first.by, first.verdict) == ("schema", "invalid")
        assert second.by == "<lambda>"

    async def test_in_asyncio(self, by_text, tiered, parsed):
        said = await tiered(judge=lambda question, answer: True).apredict(parsed, country="France")

        assert json.loads(said) == RIGHT

    def test_what_the_parser_of_the_llm_cannot_read(self, by_text, tiered, city):
        llm = tiered(output_parser=PydanticOutputParser(city), judge=lambda question, answer: True)

        assert "Paris" in llm.predict(PromptTemplate("Name a city."))


def test_a_response_format_is_checked(server, tiered, city, asked):
    server.scripts |= {"small": json.dumps(WRONG), "medium": json.dumps(RIGHT)}

    answer = tiered().chat(asked, response_format={"type": "json_schema", "json_schema": {"schema": _schema(city)}})

    assert json.loads(answer.message.content) == RIGHT


def _schema(city):
    return city.model_json_schema()


def test_an_obliging_model_fills_any_object(server, tiered, city, prompt):
    server.scripts["small"] = obliging

    assert tiered().structured_predict(city, prompt, country="France").people == 3


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"output_cls": dict}, "output_cls must be a Pydantic class"),
        ({"prompt": "Name a city."}, r"prompt must be a template, such as PromptTemplate\('Name"),
        ({"llm_kwargs": 3}, "llm_kwargs must be a dict"),
    ],
)
def test_bad_input(server, tiered, take, city, prompt, given, match):
    with pytest.raises(ConfigError, match=match):
        take(tiered(), "structured_predict", **{"output_cls": city, "prompt": prompt, "country": "France", **given})
    assert server.requests == ()
