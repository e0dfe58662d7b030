"""Structured output: every tier asked in its own way, objects checked inside, built outside."""

import asyncio
import copy
import json
import pickle
from functools import reduce
from operator import add
from typing import Annotated, TypedDict

import pytest
from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.runnables.utils import AddableDict
from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from llm_tiers import AllTiersFailed, ConfigError, FixedStarter, Tier
from llm_tiers.testing import HttpError, Reply, ToolCall

ASK = "Which city is the capital of France, and how many people live there?"

pytestmark = [
    # pydantic says so of langchain_openai, which dumps the parsed object of a streamed answer,
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings"),
]


class City(BaseModel):
    """A city."""

    name: str
    people: int = Field(gt=0)


class CityDict(TypedDict):
    """A city."""

    name: str
    people: int


GOOD = {"name": "Paris", "people": 2_100_000}
METHODS = ("json_schema", "function_calling", "json_mode")


def said(method, value, name="City"):
    """What a model says that is asked in one of the three ways."""
    if method == "function_calling":
        return Reply(calls=(ToolCall(name, value),))
    return value if isinstance(value, str) else json.dumps(value)


@pytest.fixture
def ask(take):
    """Ask in each of the four ways; return the last object."""
    return lambda chain: take(chain, ASK)[-1]


@pytest.mark.parametrize("method", METHODS)
def test_an_object_that_fits_is_accepted_without_a_judge(server, tiered, ask, method):
    server.scripts["small"] = said(method, GOOD)

    assert ask(tiered().with_structured_output(City, method=method)) == City(**GOOD)
    assert [request.model for request in server.requests] == ["small"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "wrong",
    [{"name": "Paris"}, {"name": "Paris", "people": "many"}, {"name": "Paris", "people": 0}, '{"name": "Par'],
    ids=["incomplete", "of another type", "out of range", "cut short"],
)
def test_an_object_that_does_not_fit_goes_one_tier_up(server, tiered, ask, method, wrong):
    """With json_schema it is OpenAI's client that raises, inside the tier."""
    server.scripts |= {"small": said(method, wrong), "medium": said(method, GOOD)}

    assert ask(tiered().with_structured_output(City, method=method)) == City(**GOOD)
    assert [request.model for request in server.requests] == ["small", "medium"]


@pytest.mark.parametrize("method", METHODS)
def test_text_where_an_object_is_asked_for_goes_one_tier_up(server, tiered, ask, method):
    server.scripts |= {"small": "It is Paris.", "medium": said(method, GOOD)}

    assert ask(tiered().with_structured_output(City, method=method)) == City(**GOOD)


@pytest.mark.parametrize("schema", [CityDict, City.model_json_schema()], ids=["typed dict", "JSON schema"])
def test_dicts_are_checked_too(server, tiered, ask, schema):
    name = "CityDict" if schema is CityDict else "City"
    server.scripts |= {
        "small": Reply(calls=(ToolCall(name, {"name": "Paris", "people": "many"}),)),
        "medium": Reply(calls=(ToolCall(name, GOOD),)),
    }

    assert ask(tiered().with_structured_output(schema, method="function_calling")) == GOOD
    assert [request.model for request in server.requests] == ["small", "medium"]


def test_tiers_may_answer_each_in_its_own_way(server, chat, tiered):
    """What comes back is an object, whether it was a tool call or text."""
    server.scripts |= {
        "small": Reply(calls=(ToolCall("City", {"name": "Paris", "people": -1}),)),
        "medium": f"Here you are:\n```json\n{json.dumps(GOOD)}\n```",
    }

    assert tiered().with_structured_output(City, method="json_mode").invoke(ASK) == City(**GOOD)


def test_a_dict_grows_while_the_top_tier_streams(server, tiered):
    server.scripts |= {"small": "no", "medium": "no", "large": json.dumps({"name": "Paris on the Seine", "people": 5})}
    chain = tiered().with_structured_output(City.model_json_schema(), method="json_mode")

    grown = list(chain.stream(ASK))

    assert {"name": "Paris on"} in [{key: value.strip() for key, value in part.items()} for part in grown[:-1]]
    assert grown[-1] == {"name": "Paris on the Seine", "people": 5}


def test_the_raw_answer_on_request(server, tiered):
    server.scripts |= dict.fromkeys(("small", "medium"), "no") | {"large": json.dumps({"name": "Paris"})}
    chain = tiered().with_structured_output(City, method="json_mode", include_raw=True)

    found = chain.invoke(ASK)
    assert found["parsed"] is None
    assert isinstance(found["parsing_error"], OutputParserException)
    assert found["raw"].response_metadata["tiers"]["final"] == "large"

    server.scripts["small"] = json.dumps(GOOD)
    found = chain.invoke(ASK)
    assert (found["parsed"], found["parsing_error"]) == (City(**GOOD), None)
    assert found["raw"].usage_metadata["input_tokens"] > 0


class Described(BaseModel):
    """A class of which any beginning makes an instance."""

    name: str = ""
    summary: str = ""


@pytest.mark.parametrize("live", [True, False], ids=["live", "held back"])
@pytest.mark.parametrize("method", [*METHODS, None])
def test_an_object_streams_as_the_plain_model_streams_it(server, chat, tiered, take, method, live):
    reply = said(method, {"summary": "Capital of France it is", "name": "Paris"}, "Described")
    server.scripts |= dict.fromkeys(("small", "large"), reply)
    options = {} if method is None else {"method": method}
    model = tiered(starter=FixedStarter("large" if live else "small"))

    plain, ours = (take(one.with_structured_output(Described, **options), ASK) for one in (chat("large"), model))

    assert ours == plain
    if method in (None, "json_schema"):
        assert ours == [Described(summary="Capital of France it is", name="Paris")]


@pytest.mark.parametrize("schema", [City, CityDict, City.model_json_schema()], ids=["class", "typed dict", "schema"])
@pytest.mark.parametrize("wrong", [{"name": ["Paris"]}, "no object", '{"name": "Par'])
@pytest.mark.parametrize("method", METHODS)
def test_the_raw_answer_raises_nothing(server, tiered, take, method, wrong, schema):
    server.scripts |= dict.fromkeys(
        ("small", "medium", "large"),
        wrong if isinstance(wrong, str) else said(method, wrong),
    )
    chain = tiered().with_structured_output(schema, method=method, include_raw=True)

    found = reduce(add, map(AddableDict, take(chain, ASK)))

    assert set(found) == {"raw", "parsed", "parsing_error"}
    assert found["raw"].response_metadata["tiers"]["attempts"]
    if schema is City:
        assert found["parsed"] is None
        assert isinstance(found["parsing_error"], Exception)


def test_the_raw_answer_hides_no_failure_of_a_provider(server, tiered, take):
    server.scripts |= dict.fromkeys(("small", "medium", "large"), HttpError(500))

    with pytest.raises(AllTiersFailed):
        take(tiered().with_structured_output(City, include_raw=True), ASK)


@pytest.mark.parametrize("method", ["function_calling", "json_mode"])
@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
def test_an_object_that_does_not_fit_is_told_as_the_plain_model_tells_it(server, chat, tiered, way, method):
    wrong = {"name": "Paris"}
    said = json.dumps(wrong) if method == "json_mode" else Reply(calls=(ToolCall("City", wrong),))
    server.scripts |= dict.fromkeys(("small", "medium", "large"), said)

    def failure(model, *, include_raw=False):
        model = model.with_structured_output(City, method=method, include_raw=include_raw)
        asked = f"{ASK} In JSON."
        found = model.invoke(asked) if way == "invoke" else asyncio.run(model.ainvoke(asked))
        raise found["parsing_error"]

    for include_raw in (False, True):
        kinds = []
        for model in (chat("large"), tiered()):
            with pytest.raises(ValueError, match="people") as raised:
                failure(model, include_raw=include_raw)
            kinds.append(raised.type)
        assert kinds == [ValidationError if method == "function_calling" else OutputParserException] * 2


def test_an_object_of_the_top_tier_that_does_not_fit_is_told_as_ever(server, tiered):
    server.scripts |= dict.fromkeys(("small", "medium", "large"), json.dumps({"name": "Paris"}))
    traces = []

    with pytest.raises(OutputParserException, match="does not fit City"):
        tiered(on_trace=traces.append).with_structured_output(City, method="json_mode").invoke(ASK)

    assert "$.people fails 'missing'" in traces[0].warnings[0]


def test_when_every_client_raises_the_error_holds_them_all(server, tiered):
    server.scripts |= dict.fromkeys(("small", "medium", "large"), "not JSON at all")

    with pytest.raises(AllTiersFailed) as failure:
        tiered().with_structured_output(City).invoke(ASK)

    assert [error.tier for error in failure.value.exceptions] == ["small", "medium", "large"]


def test_settings_of_the_call_reach_the_tiers(server, tiered):
    server.scripts["small"] = json.dumps(GOOD)

    tiered(temperature=0.5).with_structured_output(City).invoke(ASK, stop=["END"], seed=7)

    settings = server.requests[0].settings
    assert (settings["stop"], settings["seed"], settings["temperature"]) == (["END"], 7, 0.5)
    assert settings["response_format"]["json_schema"]["name"] == "City"


def test_a_refusal_goes_one_tier_up(server, tiered, ask):
    server.scripts |= {"small": Reply(refusal="I would rather not."), "medium": json.dumps(GOOD)}

    assert ask(tiered().with_structured_output(City)) == City(**GOOD)


def test_tools_beside_the_object(server, tiered):
    bound = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}}}
    bound["function"]["strict"] = True
    server.scripts["small"] = Reply(calls=(ToolCall("look_up"),))
    chain = tiered().with_structured_output(City, tools=[bound], include_raw=True, strict=True)

    found = chain.invoke(ASK)

    assert found["raw"].tool_calls[0]["name"] == "look_up"
    assert (found["parsed"], found["parsing_error"]) == (None, None)
    assert [request.model for request in server.requests] == ["small"]


def test_json_of_any_shape(server, tiered, ask):
    server.scripts |= {"small": "no", "medium": json.dumps({"any": ["thing"]})}

    assert ask(tiered().with_structured_output(method="json_mode")) == {"any": ["thing"]}


def test_a_schema_that_is_none_is_refused_before_any_call(server, tiered):
    with pytest.raises(ConfigError, match=r"schema has no valid JSON schema: \$.properties.name"):
        tiered().with_structured_output(
            {"title": "City", "type": "object", "properties": {"name": {"type": "text"}}}, method="function_calling"
        )
    with pytest.raises(ValueError, match="method"):
        tiered().with_structured_output(City, method="telepathy")
    assert server.requests == ()


def test_a_tier_that_cannot_give_objects_goes_one_tier_up(chat, server, tiered):
    mute = Tier(GenericFakeChatModel(messages=iter(())), name="mute", price=(1, 1))
    server.scripts["large"] = json.dumps(GOOD)

    found = tiered(tiers=[mute, chat("large")]).with_structured_output(City, include_raw=True).invoke(ASK)

    assert found["parsed"] == City(**GOOD)
    assert "mute" in repr(found["raw"].response_metadata["tiers"])


def test_a_tier_that_fails_goes_one_tier_up(server, tiered, ask):
    server.scripts |= {"small": HttpError(500), "medium": json.dumps(GOOD)}

    assert ask(tiered().with_structured_output(City)) == City(**GOOD)


def test_a_function_judges_the_object_as_json(server, tiered):
    server.scripts |= {
        "small": json.dumps({"people": 3, "name": "Lyon"}),
        "medium": Reply(calls=(ToolCall("City", GOOD),)),
    }
    model = tiered(judge=lambda question, answer: json.loads(answer)["name"] == "Paris")

    assert model.with_structured_output(City, method="json_mode").invoke(ASK) == City(**GOOD)


def test_in_a_batch(server, tiered):
    server.scripts["small"] = json.dumps(GOOD)

    assert tiered().with_structured_output(City).batch([ASK, ASK]) == [City(**GOOD)] * 2


class Strict(BaseModel):
    """A class that takes no more than it names."""

    model_config = {"extra": "forbid"}

    name: str


@pytest.mark.parametrize("method", METHODS)
def test_nothing_of_a_rejected_object_is_in_the_trace(server, tiered, method):
    bad = {"name": ["my mother's maiden name"], "my_mothers_maiden_name": "Smith"}
    server.scripts |= {"small": said(method, bad, "Strict"), "medium": said(method, {"name": "x"}, "Strict")}

    found = tiered().with_structured_output(Strict, method=method, include_raw=True).invoke(ASK)

    trace = repr(found["raw"].response_metadata["tiers"])
    assert found["parsed"] == Strict(name="x")
    assert "maiden" not in trace
    assert "Smith" not in trace


@pytest.mark.parametrize("unreadable", ['{"name": "Paris"}', "not JSON"])
def test_what_a_client_could_not_read_is_counted_all_the_same(server, tiered, unreadable):
    """OpenAI's client raises, inside the tier; its error carries the response along."""
    server.scripts |= {
        "small": Reply(unreadable, input_tokens=100, output_tokens=10),
        "medium": Reply(json.dumps(GOOD), input_tokens=200, output_tokens=20),
    }

    raw = tiered().with_structured_output(City, include_raw=True).invoke(ASK)["raw"]

    assert (raw.usage_metadata["input_tokens"], raw.usage_metadata["output_tokens"]) == (300, 30)
    assert raw.response_metadata["tiers"]["cost_usd"] == pytest.approx((300 + 2 * 30) / 1e6)


class Lax(BaseModel):
    """A class that takes more than its JSON schema says."""

    tags: Annotated[list[str], BeforeValidator(lambda value: value.split(",") if isinstance(value, str) else value)]
    number: int


class Optionals(TypedDict):
    """What may be left out."""

    name: str
    people: Annotated[int | None, None, "How many"]


def test_the_users_class_has_the_last_word(server, tiered):
    server.scripts["small"] = json.dumps({"tags": "a,b", "number": "5"})

    found = tiered().with_structured_output(Lax, method="json_mode").invoke(ASK)

    assert found == Lax(tags=["a", "b"], number=5)
    assert len(server.requests) == 1


def test_a_null_in_place_of_what_may_be_left_out_fits(server, tiered):
    server.scripts["small"] = json.dumps({"name": "Paris", "people": None})

    assert tiered().with_structured_output(Optionals).invoke(ASK) == {"name": "Paris", "people": None}
    assert len(server.requests) == 1


def test_a_structured_model_is_pickled_and_copied(server, tiered):
    server.scripts["small"] = json.dumps(GOOD)
    chain = tiered().with_structured_output(City)

    assert pickle.loads(pickle.dumps(chain)).invoke(ASK) == City(**GOOD)  # noqa: S301
    assert copy.deepcopy(chain).invoke(ASK) == City(**GOOD)
