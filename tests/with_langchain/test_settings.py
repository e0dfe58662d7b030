"""Settings of the model and of a call: where they go, and what a copy of a model keeps."""

import asyncio
import copy
import functools
import json
import multiprocessing
import pickle

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler, UsageMetadataCallbackHandler
from langchain_core.globals import set_llm_cache
from langchain_core.language_models import FakeListChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import ConfigurableField
from langchain_openai import ChatOpenAI
from pydantic import Field, ValidationError, model_validator

from langchain_tiers import TieredChatModel
from llm_tiers import AllTiersFailed, ChromaHistory, ConfigError, FixedStarter, PromptJudge, Tier
from llm_tiers.testing import Hang, HttpError

ASK = "What is the capital of France?"


def trace_of(answer):
    return answer.response_metadata["tiers"]


def test_standard_settings_go_to_every_tier_that_knows_them(server, tiered):
    tiered(temperature=0.25, max_tokens=9, stop=["END"], judge=lambda question, answer: False).invoke(ASK)

    assert len(server.requests) == 3
    for request in server.requests:
        assert request.settings["temperature"] == 0.25
        assert request.settings["max_completion_tokens"] == 9
        assert request.settings["stop"] == ["END"]


def test_a_model_class_keeps_its_own_rules(server, chat, tiered):
    """ChatOpenAI takes no temperature but 1 for its reasoning models."""
    server.scripts["gpt-5-nano"] = "Lyon"

    tiered(tiers=[chat("gpt-5-nano"), chat("large")], temperature=0).invoke(ASK)

    tiered(tiers=[chat("gpt-5-nano"), chat("large")], temperature=0, starter=FixedStarter("large")).invoke(ASK)

    assert "temperature" not in server.requests_to("gpt-5-nano")[0].settings
    assert server.requests[-1].settings["temperature"] == 0


def test_the_judge_gets_no_settings_that_are_meant_for_answers(server, tiered):
    tiered(temperature=0.25, max_tokens=9, stop=["END"]).invoke(ASK)

    answering, judging = server.requests
    assert {"temperature", "max_completion_tokens", "stop"} <= answering.settings.keys()
    assert not {"temperature", "max_completion_tokens", "stop"} & judging.settings.keys()


def test_retries_are_the_tiers_own_unless_told(server, tiered):
    server.scripts["small"] = HttpError(429, retry_after=0.01)

    tiered(max_retries=2).invoke(ASK)

    assert len(server.requests_to("small")) == 3


def test_a_key_may_be_given_once(server, tiers, tiered):
    model = tiered(tiers=["openai:small", *tiers[1:]], api_key="sk-given-once")

    assert model.tiers[0].model.openai_api_key.get_secret_value() == "sk-given-once"
    assert "sk-given-once" not in repr(model) + model.model_dump_json()


def test_tiers_that_do_not_know_a_setting_go_without(server):
    spoken = GenericFakeChatModel(messages=iter([AIMessage("Lyon")]))
    with TieredChatModel([Tier(spoken, name="a"), Tier(spoken, name="b")], temperature=0, judge=lambda q, a: True) as m:
        assert m.invoke(ASK, max_tokens=3).content == "Lyon"


def test_settings_of_a_call_go_before_those_of_the_model(server, tiered):
    tiered(temperature=0.25, stop=["END"]).invoke(ASK, temperature=0.75, stop=["STOP"])

    assert (server.requests[0].settings["temperature"], server.requests[0].settings["stop"]) == (0.75, ["STOP"])


@pytest.mark.parametrize(
    ("name", "wrong"), [("temperature", "hot"), ("cache", "please"), ("callbacks", 3), ("stop", 3), ("max_tokens", "x")]
)
def test_a_setting_of_another_kind_is_refused_by_name(server, tiered, key, name, wrong):
    with pytest.raises(ConfigError, match=name) as failure:
        tiered(**{name: wrong})
    assert key not in str(failure.value)
    assert server.requests == ()


def test_what_a_tracer_is_told_of_the_model(tiered):
    params = tiered(temperature=0.25, max_tokens=9, stop=["END"])._get_ls_params()

    assert params == {
        "ls_provider": "llm-tiers",
        "ls_model_name": "small|medium|large",
        "ls_model_type": "chat",
        "ls_temperature": 0.25,
        "ls_max_tokens": 9,
        "ls_stop": ["END"],
    }


def test_a_named_tier_is_known_by_the_models_name(server, chat, tiered, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-environment")
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)

    answer = tiered(tiers=[Tier("openai:small", timeout=30), chat("large")]).invoke(ASK)

    assert trace_of(answer)["start"] == "small"


def test_tokens_are_counted_as_the_top_tier_counts_them(tiered, chat):
    class Counting(ChatOpenAI):
        def get_token_ids(self, text):
            return [len(word) for word in text.split()]

        def get_num_tokens_from_messages(self, messages, tools=None):
            return 10 * len(messages)

    model = tiered(tiers=[chat("small"), Counting(model="large", api_key="unused")])

    assert (model.get_num_tokens("one two"), model.get_num_tokens_from_messages([HumanMessage("x")])) == (2, 10)


class TestConfigurable:
    def test_a_setting_may_be_left_to_the_config(self, server, tiered):
        model = tiered().configurable_fields(temperature=ConfigurableField(id="heat"))

        model.with_config(configurable={"heat": 0.5}).invoke(ASK)
        model.invoke(ASK)

        assert [request.settings.get("temperature") for request in server.requests_to("small")] == [0.5, None]

    def test_what_is_learned_is_shared(self, tiered, learner):
        model = tiered(starter=learner, judge=lambda question, answer: answer == "Paris")
        configured = model.configurable_fields(temperature=ConfigurableField(id="heat"))

        for _ in range(3):
            configured.with_config(configurable={"heat": 0.5}).invoke(ASK)

        assert trace_of(model.invoke(ASK))["start"] == "medium"

    def test_a_history_in_a_folder_stays_open(self, tiered, tmp_path):
        model = tiered(history=tmp_path / "tiers").configurable_fields(node=ConfigurableField(id="node"))

        answers = [model.with_config(configurable={"node": node}).invoke(ASK) for node in ("plan", "write")]

        assert [trace_of(answer)["node"] for answer in answers] == ["plan", "write"]
        assert not any(trace_of(answer)["warnings"] for answer in answers)

    def test_the_quality_may_be_left_to_the_config(self, server, tiered):
        seen = []
        model = tiered(policy="menu", learning=0.0, on_trace=seen.append, prices=STEEP)
        model = model.configurable_fields(node=ConfigurableField(id="node"), quality=ConfigurableField(id="quality"))

        for quality in (0.0, 1.0):
            model.with_config(configurable={"node": "plan", "quality": quality}).invoke(ASK)

        assert [(trace.node, trace.start) for trace in seen] == [("plan", "small"), ("plan", "large")]

    def test_alternatives(self, chat, tiered):
        model = tiered().configurable_alternatives(ConfigurableField(id="llm"), default_key="tiers", top=chat("large"))

        assert model.invoke(ASK).content == "Lyon"
        assert model.with_config(configurable={"llm": "top"}).invoke(ASK).content == "Paris"

    def test_a_tier_may_be_pinned_by_binding(self, tiered):
        assert tiered().bind(model="large").invoke(ASK).content == "Paris"


def _ask_in_a_worker(model):
    answer = model.invoke(ASK)
    return answer.content, len(list(model.history.export()))


class TestNamespaces:
    def test_models_with_another_namespace_learn_apart(self, tiered, tmp_path):
        models = [tiered(history=tmp_path / "tiers", namespace=name) for name in (None, "one", "other", "one")]

        for _ in range(3):
            models[1].invoke(ASK)

        assert [len(list(model.history.export())) for model in models] == [0, 3, 0, 3]

    def test_a_copy_keeps_it_unless_it_gets_another(self, tiered, tmp_path):
        model = tiered(history=tmp_path / "tiers", namespace="one")
        model.invoke(ASK)

        same, other = (model.model_copy(update=update) for update in ({"quality": None}, {"namespace": "other"}))

        assert [len(list(copied.history.export())) for copied in (same, other)] == [1, 0]
        again = pickle.loads(pickle.dumps(model))  # noqa: S301
        assert len(list(again.history.export())) == 1

    @pytest.mark.parametrize("wrong", ["", "a b", 3, "-x"])
    def test_a_name_that_is_none_is_refused(self, tiered, wrong):
        with pytest.raises(ConfigError, match=r"^namespace"):
            tiered(namespace=wrong)

    def test_beside_a_history_it_belongs_to_that(self, tiered):
        with ChromaHistory() as history, pytest.raises(ConfigError, match="namespace: give it to the history"):
            tiered(history=history, namespace="one")


@pytest.mark.parametrize("as_initializer", [False, True])
def test_a_spawned_pool_shares_the_folder(tiered, tmp_path, as_initializer):
    model = tiered(history=tmp_path / "tiers")
    model.invoke(ASK)
    context = multiprocessing.get_context("spawn")
    given = {"initializer": _ask_in_a_worker, "initargs": (model,)} if as_initializer else {}

    with context.Pool(1, **given) as pool:
        found = pool.map_async(_ask_in_a_worker, [model, model], chunksize=1).get(60)

    known = 2 if as_initializer else 1
    assert found == [("Lyon", known + 1), ("Lyon", known + 2)]


def test_a_spawned_pool_works_without_a_folder_that_is_not_shared(tiered, tmp_path, capfd):
    model = tiered(history=tmp_path / "tiers")
    pickled = pickle.dumps(model)
    model.close()

    with ChromaHistory(tmp_path / "tiers", embedded=True), multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.map_async(_load_and_ask, [pickled, pickled], chunksize=1).get(60)

    # Each copy has a memory of its own.
    assert found == [("Lyon", 1), ("Lyon", 1)]
    assert capfd.readouterr().err.count("works without its history's folder") == 1


def _load_and_ask(pickled):
    return _ask_in_a_worker(pickle.loads(pickled))  # noqa: S301


STEEP = {"small": (1, 2), "medium": (10, 20), "large": (50, 99)}


class AmazonsClient:
    """A client as a user's own session makes it."""

    __module__ = "botocore.client"


class OfAmazon(FakeListChatModel):
    """A model that makes a client where it is given none, as `ChatBedrockConverse` does."""

    client: object = Field(default=None, exclude=True)
    max_retries: int | None = None

    @model_validator(mode="after")
    def _make_client(self):
        self.client = self.client or AmazonsClient()
        return self


def test_a_client_of_the_users_own_session_is_kept(chat, tiered):
    own = AmazonsClient()
    model = tiered(tiers=[Tier(OfAmazon(responses=["Paris"], client=own), name="theirs"), chat("large")])

    made = model._engine.ladder["theirs"].model

    assert made.max_retries == 1
    assert made.client is own


class TestOfOneCall:
    """`node=` and `quality=` of one call, given or bound."""

    @pytest.mark.parametrize("bound", [True, False], ids=["bound", "given"])
    def test_node_and_quality(self, tiered, take, bound):
        seen = []
        model = tiered(policy="menu", learning=0.0, on_trace=seen.append, prices=STEEP)

        for quality in (0.0, 1.0):
            settings = {"node": "plan", "quality": quality}
            take(model.bind(**settings) if bound else Given(model, settings), ASK)
        take(model, ASK)

        *own, usual = seen
        assert [(trace.node, trace.start) for trace in own] == [("plan", "small"), ("plan", "large")]
        assert usual.node == ""

    def test_what_one_call_learns_another_knows(self, tiered):
        model = tiered(policy="menu", learning=1.0)
        trace = trace_of(model.invoke(ASK, node="plan", quality=0.8))

        model.feedback(trace["trace_id"], correct=True)

        assert "1 profiled call" in trace_of(model.invoke(ASK, node="plan", quality=0.3))["reason"]

    @pytest.mark.parametrize("wrong", [{"node": 3}, {"quality": 2}, {"quality": "high"}])
    def test_what_is_wrong_is_refused_before_any_call(self, server, tiered, take, wrong):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            take(tiered(policy="menu").bind(**wrong), ASK)

        assert server.requests == ()

    def test_a_policy_without_the_knob_says_so(self, tiered):
        with pytest.raises(ConfigError, match="quality"):
            tiered(policy="estimate").invoke(ASK, quality=0.5)

    def test_it_takes_the_place_of_a_worth(self, tiered):
        tiered(policy="menu", worth_usd=1.0).invoke(ASK, quality=0.5)


class Given:
    """A model that is given settings with each call."""

    def __init__(self, model, settings):
        self.model, self.settings = model, settings

    def __getattr__(self, name):
        return functools.partial(getattr(self.model, name), **self.settings)


class TestCache:
    @pytest.fixture(autouse=True)
    def cache(self):
        set_llm_cache(InMemoryCache())
        yield
        set_llm_cache(None)

    def test_a_cached_call_costs_no_request(self, server, tiered):
        model = tiered()
        first = model.invoke(ASK)
        server.forget()

        second = model.invoke(ASK)

        assert server.requests == ()
        assert (second.content, trace_of(second)["final"]) == (first.content, trace_of(first)["final"])
        assert (trace_of(second)["cached"], trace_of(second)["cost_usd"]) == (True, 0)
        assert second.usage_metadata["input_tokens"] == first.usage_metadata["input_tokens"]
        assert second.usage_metadata["total_cost"] == 0

    async def test_in_asyncio_too(self, server, tiered):
        model = tiered()
        first = await model.ainvoke(ASK)

        assert (await model.ainvoke(ASK)).content == first.content
        assert len(server.requests) == 2

    @pytest.mark.parametrize(
        "other",
        [
            {"starter": FixedStarter("medium")},
            {"policy": "llm-at"},
            {"judge": lambda question, answer: False},
            {"temperature": 0.5},
        ],
        ids=["starter", "policy", "judge", "temperature"],
    )
    def test_models_that_differ_do_not_share(self, chat, tiered, other):
        # The tiers' own caches are off: only the outer one is looked at.
        tiers = [chat(name, cache=False) for name in ("small", "medium", "large")]
        one, two = tiered(tiers=tiers), tiered(tiers=tiers, **other)

        assert trace_of(one.invoke(ASK))["trace_id"] != trace_of(two.invoke(ASK))["trace_id"]

    def test_models_with_other_tiers_of_the_same_names_do_not_share(self, chat, tiered):
        tiers = [chat(name, cache=False) for name in ("small", "medium", "large")]
        warm = [chat(name, cache=False, temperature=1) for name in ("small", "medium", "large")]

        one, two = tiered(tiers=tiers), tiered(tiers=warm)

        assert trace_of(one.invoke(ASK))["trace_id"] != trace_of(two.invoke(ASK))["trace_id"]

    def test_equal_models_share(self, tiers, tiered):
        one, two = tiered(tiers=tiers), tiered(tiers=tiers)

        assert trace_of(one.invoke(ASK))["trace_id"] == trace_of(two.invoke(ASK))["trace_id"]

    def test_the_key_of_the_cache_holds_no_key_of_a_provider(self, tiered, key):
        assert key not in tiered()._get_llm_string()


class TestPickle:
    def test_a_model_comes_back_with_its_settings(self, server, tiered):
        model = tiered(starter=FixedStarter("medium"), temperature=0.25, node="drafts")

        with pickle.loads(pickle.dumps(model)) as again:  # noqa: S301
            answer = again.invoke(ASK)

        assert (trace_of(answer)["start"], trace_of(answer)["node"]) == ("medium", "drafts")
        assert server.requests[0].settings["temperature"] == 0.25
        assert trace_of(answer)["cost_usd"] > 0

    def test_a_folder_is_found_again(self, tiered, learner, tmp_path):
        model = tiered(history=tmp_path / "tiers", starter=learner)
        for _ in range(3):
            model.invoke(ASK)
        model.close()

        with pickle.loads(pickle.dumps(model)) as again:  # noqa: S301
            assert trace_of(again.invoke(ASK))["neighbours"] == 3

    def test_nothing_printed_shows_a_key(self, tiered, key):
        again = pickle.loads(pickle.dumps(tiered()))  # noqa: S301
        assert key not in repr(again) + str(again) + again.model_dump_json() + json.dumps(again._identifying_params)
        again.close()

    def test_a_deep_copy_shares_what_is_learned(self, tiered, learner):
        model = tiered(starter=learner)
        twin = copy.deepcopy(model)
        for _ in range(3):
            twin.invoke(ASK)

        assert trace_of(model.invoke(ASK))["neighbours"] == 3

    def test_a_history_of_the_users_own_says_that_it_stays(self, tiered):
        with ChromaHistory() as history, pytest.raises(TypeError, match="history"):
            pickle.dumps(tiered(history=history))


class Plain(BaseCallbackHandler):
    def __init__(self):
        self.starts = 0

    def on_chat_model_start(self, serialized, messages, **kwargs):
        self.starts += 1


def test_handlers_hear_of_the_calls_inside_on_request(server, tiered):
    heard, inside = Plain(), Plain()

    tiered().invoke(ASK, config={"callbacks": [heard]})
    tiered(inner_callbacks=[Plain]).invoke(ASK, config={"callbacks": [inside]})

    assert (heard.starts, inside.starts) == (1, 3)


class TestProfile:
    def test_it_is_what_all_tiers_can_do(self, tiered):
        profiles = [
            {"max_input_tokens": 100, "tool_calling": True, "structured_output": True, "name": "A"},
            {"max_input_tokens": 900, "tool_calling": True, "structured_output": False, "name": "B"},
        ]
        tiers = [ChatOpenAI(model=f"m{n}", api_key="x", profile=profile) for n, profile in enumerate(profiles)]

        assert tiered(tiers=tiers).profile == {
            "max_input_tokens": 100,
            "tool_calling": True,
            "structured_output": False,
        }

    def test_unknown_models_have_none(self, tiered):
        assert tiered().profile is None

    def test_a_small_context_window_is_skipped_but_not_at_the_top(self, server, tiered, chat):
        tiers = [chat(name, profile={"max_input_tokens": 5}) for name in ("small", "large")]

        answer = tiered(tiers=tiers).invoke(ASK)

        assert answer.content == "Paris"
        assert trace_of(answer)["warnings"][0].startswith("tier small skipped: context window 5")

    def test_images_skip_tiers_that_cannot_see(self, server, tiered, chat):
        tiers = [chat("small", profile={"image_inputs": False}), chat("large")]
        image = {"type": "image", "base64": "aGVsbG8=", "mime_type": "image/png"}

        answer = tiered(tiers=tiers).invoke([HumanMessage([{"type": "text", "text": "What is this?"}, image])])

        assert answer.content == "Paris"
        assert [part["type"] for part in server.requests[0].messages[0]["content"]] == ["text", "image_url"]


class TestCopies:
    def test_a_copy_with_another_setting_uses_it(self, server, tiered):
        model = tiered().model_copy(update={"temperature": 0.5, "node": "drafts"})

        answer = model.invoke(ASK)

        assert server.requests[0].settings["temperature"] == 0.5
        assert trace_of(answer)["node"] == "drafts"

    @pytest.mark.parametrize("name", ["temperature", "stop", "node", "tiers"])
    def test_a_setting_cannot_be_changed_behind_the_models_back(self, tiered, name):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(tiered(), name, None)

    def test_judges_that_differ_do_not_share_a_cache(self, chat, tiered):
        cache, tiers = InMemoryCache(), [chat(name, cache=False) for name in ("small", "medium", "large")]
        judges = [lambda q, a: True, lambda q, a: "Paris" in a, PromptJudge(), PromptJudge(judge_formed=True)]
        judges += [PromptJudge(model=chat("large")), PromptJudge(model=chat("large", temperature=1))]

        answers = [tiered(tiers=tiers, judge=judge, cache=cache).invoke(ASK) for judge in judges]

        assert len({trace_of(answer)["trace_id"] for answer in answers}) == len(judges)

    def test_a_counter_can_read_a_cached_answer(self, tiered):
        model, counter = tiered(cache=InMemoryCache()), UsageMetadataCallbackHandler()
        model.invoke(ASK)

        model.invoke(ASK, config={"callbacks": [counter]})

        assert {usage["input_tokens"] for usage in counter.usage_metadata.values()} == {0}

    def test_a_judges_own_model_is_pickled(self, chat, server, tiered):
        server.scripts["referee"] = "yes"
        model = tiered(judge=PromptJudge(model=chat("referee")))

        with pickle.loads(pickle.dumps(model)) as again:  # noqa: S301
            again.invoke(ASK)

        assert server.requests[-1].model == "referee"

    def test_a_failure_is_pickled(self, server, tiered):
        for name in ("small", "medium", "large"):
            server.scripts[name] = HttpError(500, f"{name} is down")
        with pytest.raises(AllTiersFailed) as failure:
            tiered().invoke(ASK)

        again = pickle.loads(pickle.dumps(failure.value))  # noqa: S301

        assert [error.tier for error in again.exceptions] == ["small", "medium", "large"]
        assert "small is down" in str(again.exceptions[0])


@pytest.mark.parametrize("wrong", [["sk-listed-key"], {"key": "sk-listed-key"}, 3])
def test_a_key_of_another_kind_is_refused_and_not_shown(tiers, tiered, wrong):
    with pytest.raises(ConfigError, match="api_key must be a key") as failure:
        tiered(tiers=tiers, api_key=wrong)
    assert "sk-listed-key" not in str(failure.value)
    assert failure.value.__cause__ is None


def test_handlers_given_without_a_list_are_refused(tiered):
    with pytest.raises(ConfigError, match="inner_callbacks must be a list"):
        tiered(inner_callbacks=Plain)


def test_a_dummy_key_hides_no_words(server, chat, tiered):
    server.scripts["small"] = HttpError(429, "Rate limit exceeded for you")
    tiers = [ChatOpenAI(model="small", base_url=server.base_url, api_key="x", max_retries=0), chat("large")]

    assert "Rate limit exceeded for you" in trace_of(tiered(tiers=tiers).invoke(ASK))["attempts"][0]["error"]


def test_a_time_out_of_one_call(server, tiered):
    server.scripts["small"] = hang = Hang()

    answer = tiered().invoke(ASK, timeout=1)

    assert trace_of(answer)["attempts"][0]["error"] == "no answer within 1 s"
    hang.release()


def test_a_stop_of_the_model_reaches_tiers_that_know_it_only_in_calls():
    seen = []

    class Stopping(GenericFakeChatModel):
        def _generate(self, messages, stop=None, run_manager=None, **kwargs):
            seen.append(stop)
            return super()._generate(messages, stop, run_manager, **kwargs)

    spoken = Stopping(messages=iter([AIMessage("Lyon")]))
    tiers = [Tier(spoken, name="a"), Tier(spoken, name="b")]
    with TieredChatModel(tiers, stop=["END"], judge=lambda q, a: True) as model:
        model.invoke(ASK)
    assert seen == [["END"]]


class TestDoubt:
    """The doubt cascade over real clients: two tiers side by side, and the knob."""

    @pytest.fixture(autouse=True)
    def served(self, server):
        server.scripts = {
            "small": "The answer is 4.",
            "medium": lambda request: f"It is\n**{4 if 'easy' in request.ask else 5}**",
            "large": "So the answer is 5.",
        }

    @pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream"])
    def test_two_that_agree_need_no_judge(self, server, tiered, way):
        model = tiered(policy="doubt")
        if way == "stream":
            chunks = list(model.stream("An easy one."))
            said, trace = "".join(chunk.text for chunk in chunks), trace_of(chunks[-1])
        else:
            answer = model.invoke("An easy one.") if way == "invoke" else asyncio.run(model.ainvoke("An easy one."))
            said, trace = answer.text, trace_of(answer)

        assert said == "It is\n**4**"
        assert trace["policy"] == "doubt"
        assert {request.model for request in server.requests} == {"small", "medium"}
        assert len(server.requests) == 2

    def test_a_third_decides_where_they_differ(self, tiered):
        answer = tiered(policy="doubt", quality=1).invoke("A hard one.")

        assert trace_of(answer)["final"] == "large"

    @pytest.mark.parametrize("way", ["invoke", "ainvoke"])
    def test_an_audit_asks_all_and_returns_the_same(self, server, tiered, way):
        model = tiered(policy="doubt", audit=1.0)
        answer = model.invoke("An easy one.") if way == "invoke" else asyncio.run(model.ainvoke("An easy one."))

        trace = trace_of(answer)
        assert answer.text == "It is\n**4**"
        assert 0 < trace["confidence"] < 1
        roles = {attempt["tier"]: attempt["role"] for attempt in trace["attempts"]}
        assert roles == {"small": "witness", "medium": "generate", "large": "audit"}
        assert answer.usage_metadata["output_tokens"] == sum(a["output_tokens"] for a in trace["attempts"])

    def test_the_knob_belongs_to_this_policy(self, tiered):
        with pytest.raises(ConfigError, match=r"quality=0.5 is a knob of policy='default' or 'doubt' or 'menu'"):
            tiered(quality=0.5)
        with pytest.raises(ConfigError, match=r"quality=2 must lie in \[0, 1\]"):
            tiered(policy="doubt", quality=2)

    def test_the_users_own_extraction(self, server, tiered):
        server.scripts |= {"small": "a; final=7", "medium": "b; final=7"}

        tiered(policy="doubt", extract=lambda text: text.partition("final=")[2] or None).invoke("Which one?")

        assert len(server.requests) == 2

    def test_the_users_own_comparison(self, server, tiered):
        server.scripts |= {"small": "It may be 7", "medium": "I would say 7"}

        tiered(policy="doubt", equal=lambda one, other: one.text[-1] == other.text[-1]).invoke("Which one?")

        assert len(server.requests) == 2

    def test_a_comparison_that_raises_leaves_the_user_an_answer_and_the_trace_says_so(self, server, tiered):
        server.scripts |= {"small": "It may be 7", "medium": "I would say 7"}

        answer = tiered(policy="doubt", equal=lambda one, other: one.missing).invoke("Which one?")

        assert answer.text
        assert any("equal raised AttributeError" in warning for warning in trace_of(answer)["warnings"])

    def test_a_comparison_that_is_no_function_is_refused(self, server, tiered):
        with pytest.raises(ConfigError, match="equal must be a function of two answers"):
            tiered(equal="same")
        with pytest.raises(ConfigError, match="compare must map names of fields"):
            tiered(compare=["city"])
        assert not server.requests
