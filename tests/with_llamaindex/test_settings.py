"""Settings of the LLM and of a call, its metadata, its copies; and nothing of a key anywhere."""

import asyncio
import copy
import json
import logging
import multiprocessing
import pickle
import subprocess
import sys
from contextlib import closing

import httpx
import pytest
from llama_index.core.agent.react import ReActChatFormatter, ReActOutputParser
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, ImageBlock, MessageRole, TextBlock
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.llms.mock import MockFunctionCallingLLM, MockLLM
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.program import FunctionCallingProgram
from llama_index.core.prompts import PromptTemplate
from llama_index.llms.openai_like import OpenAILike
from openai import OpenAI as OpenAIClient
from pydantic import BaseModel, PrivateAttr, SecretStr, ValidationError

from llamaindex_tiers import TieredLLM
from llm_tiers import AllTiersFailed, ChromaHistory, ConfigError, FixedStarter, PromptJudge, Tier, llm_at
from llm_tiers.testing import Hang, HttpError

ASK = "What is the capital of France?"


@pytest.fixture
def rejecting():
    return lambda question, answer: False


class TestSettings:
    def test_they_go_to_every_tier_that_knows_them(self, server, tiered, rejecting):
        tiered(temperature=0.25, max_tokens=9, judge=rejecting).complete(ASK)

        assert len(server.requests) == 3
        assert {(r.settings["temperature"], r.settings["max_tokens"]) for r in server.requests} == {(0.25, 9)}

    def test_the_judge_gets_none_that_are_meant_for_answers(self, server, tiered):
        tiered(temperature=0.25, max_tokens=9).complete(ASK)

        answering, judging = server.requests
        assert answering.settings["temperature"] == 0.25
        assert "max_tokens" not in judging.settings
        assert judging.settings["temperature"] != 0.25

    def test_a_model_class_keeps_its_own_rules(self, server, openai, tiered):
        """OpenAI's class takes no temperature but 1 for its reasoning models."""
        server.scripts["gpt-5-nano"] = "Lyon"
        tiered(tiers=[openai("gpt-5-nano"), openai("gpt-4.1")], temperature=0, judge=lambda q, a: False).complete(ASK)

        assert [request.settings["temperature"] for request in server.requests] == [1, 0]

    def test_those_of_a_call_go_first(self, server, tiered):
        tiered(temperature=0.25).complete(ASK, temperature=0.75, stop=["END"])

        answering, judging = server.requests
        assert (answering.settings["temperature"], answering.settings["stop"]) == (0.75, ["END"])
        assert "stop" not in judging.settings

    def test_tiers_that_do_not_know_one_go_without(self):
        tiers = [Tier(MockLLM(), name=name, price=(1, 1)) for name in ("a", "b")]
        with TieredLLM(tiers, temperature=0, judge=lambda question, answer: True) as llm:
            assert llm.complete(ASK, max_tokens=3).text == ASK

    def test_tiers_below_the_top_retry_once_unless_told(self, server, like, tiered):
        server.scripts["small"] = HttpError(429, retry_after=0.01)

        def tries(default_retries=3, **settings):
            server.forget()
            models = [like("small", max_retries=default_retries), like("large", max_retries=3)]
            llm = tiered(tiers=models, **settings)
            llm.complete(ASK)
            assert llm._engine.ladder.top.model.max_retries == settings.get("max_retries", 3)
            return len(server.requests_to("small"))

        assert tries() == 2
        assert tries(default_retries=0) == 1
        assert tries(max_retries=0) == 1

    def test_a_client_that_was_given_is_kept(self, server, tiered, like):
        seen = []
        client = httpx.Client(event_hooks={"request": [seen.append]})
        models = [like(name, http_client=client, max_retries=3) for name in ("small", "medium")]

        tiered(tiers=models, temperature=0.5, timeout=30).complete(ASK)

        assert len(seen) == len(server.requests) == 2

    def test_a_client_in_use_gets_the_new_settings(self, server, tiered, tiers):
        tiers[0].complete(ASK)

        llm = tiered(max_retries=2, api_key="sk-another-key")

        client = llm._engine.ladder["small"].model._client
        assert (client.max_retries, client.api_key) == (2, "sk-another-key")
        assert tiers[0]._client.max_retries == 0

    def test_a_key_that_only_the_client_has_is_kept(self, key):
        """Anthropic's class makes its client at once, and has no field for the key."""

        class Keyless(MockLLM):
            timeout: float = 60.0
            max_retries: int = 3
            _client: OpenAIClient = PrivateAttr()

            def __init__(self, api_key="lost", timeout=60.0, max_retries=3, **_):
                super().__init__()
                self.timeout, self.max_retries = timeout, max_retries
                self._client = OpenAIClient(api_key=api_key, timeout=timeout, max_retries=max_retries)

        with TieredLLM([Tier(Keyless(key), name="a"), Tier(Keyless(key), name="b")], timeout=7) as llm:
            clients = [tier.model._client for tier in llm._engine.ladder]
        assert [(client.api_key, client.timeout) for client in clients] == [(key, 7), (key, 7)]

    def test_a_time_out_of_one_call(self, drops, server, tiered, take, trace_of):
        server.scripts["small"] = hang = Hang()

        items = take(tiered(), "complete", ASK, timeout=1)
        hang.release()

        assert trace_of(items[-1])["attempts"][0]["error"] == "no answer within 1 s"

    def test_usage_in_streams_is_asked_for_unless_told(self, server, like, tiered):
        mine = {"stream_options": {"include_usage": False}}
        llm = tiered(tiers=[like("small", additional_kwargs=mine), like("large")], judge=lambda q, a: False)

        list(llm.stream_complete(ASK))

        assert [r.settings["stream_options"]["include_usage"] for r in server.requests] == [False, True]

    def test_the_effort_of_a_judge(self, server, openai, tiered):
        server.scripts |= {"gpt-5-nano": "Lyon", "gpt-5-mini": "yes"}
        tiers = [openai("gpt-5-nano"), openai("gpt-5-mini", reasoning_effort="high")]

        tiered(tiers=tiers, judge=PromptJudge(effort="minimal")).complete(ASK)

        assert server.requests[1].settings["reasoning_effort"] == "minimal"

    def test_an_invitation_to_abstain(self, server, tiered, take, asked):
        take(tiered(policy=llm_at()), "chat", asked)

        assert "Abstain" in server.requests[0].ask
        assert len(asked[0].blocks) == 1

    @pytest.mark.parametrize("kind", [str, SecretStr])
    def test_names_of_models(self, tiered, kind):
        llm = tiered(tiers=["gpt-4.1-nano", "openai:gpt-4.1"], api_key=kind("sk-given-once"))

        assert [tier.model.api_key for tier in llm.tiers] == ["sk-given-once"] * 2
        assert llm.metadata.model_name == "tiered(gpt-4.1-nano,gpt-4.1)"


class TestSetAfterwards:
    """Settings of an LLM that has been made, as applications set them on other LLMs."""

    def test_they_go_to_the_tiers_and_not_to_the_judge(self, server, tiered):
        llm = tiered(judge=PromptJudge(model="large"))
        llm.complete(ASK)
        server.forget()

        llm.max_tokens = 5
        llm.temperature = 0
        llm.complete(ASK)

        answering, judging = server.requests
        assert (answering.settings["max_tokens"], answering.settings["temperature"]) == (5, 0)
        assert "max_tokens" not in judging.settings
        assert (llm.max_tokens, llm.temperature) == (5, 0)

    def test_a_model_class_keeps_its_own_rules(self, server, openai, tiered):
        server.scripts["gpt-5-nano"] = "Lyon"
        llm = tiered(tiers=[openai("gpt-5-nano"), openai("gpt-4.1")], judge=lambda question, answer: False)

        llm.temperature = 0
        llm.complete(ASK)

        assert [request.settings["temperature"] for request in server.requests] == [1, 0]

    def test_the_metadata_follow(self, openai, tiered):
        llm = tiered(tiers=[openai("gpt-4.1-nano"), openai("gpt-4.1")])
        llm.max_tokens = 5
        assert llm.metadata.num_output == openai("gpt-4.1", max_tokens=5).metadata.num_output == 5
        llm.context_window = 9_000
        assert llm.metadata.context_window == 9_000

    def test_none_takes_one_back(self, server, tiered):
        llm = tiered(max_tokens=5)
        llm.max_tokens = None
        llm.complete(ASK)
        assert "max_tokens" not in server.requests[0].settings

    def test_what_is_learned_stays(self, tiered, learner):
        llm = tiered(starter=learner)
        for _ in range(3):
            llm.complete(ASK)
        llm.temperature = 0
        assert llm.complete(ASK).additional_kwargs["tiers"]["neighbours"] == 3

    def test_a_view_and_its_llm_differ(self, server, tiered):
        llm = tiered()
        view = llm.for_node("drafts")
        view.max_tokens = 5
        llm.complete(ASK, model="small")
        view.complete(ASK, model="small")
        assert [request.settings.get("max_tokens") for request in server.requests] == [None, 5]

    def test_one_of_another_kind_is_refused(self, server, tiered):
        llm = tiered(temperature=0.5)
        with pytest.raises(ConfigError, match="temperature"):
            llm.temperature = "hot"
        assert llm.temperature == 0.5

    def test_a_copy_keeps_them(self, server, tiered):
        llm = tiered()
        llm.max_tokens = 5
        with copy.deepcopy(llm) as twin:
            twin.complete(ASK)
        assert server.requests[0].settings["max_tokens"] == 5


def test_the_name_of_the_model(tiered):
    assert tiered().model == "tiered(small,medium,large)"


class TestDicts:
    def test_the_tiers_are_asked_for(self, tiered):
        with pytest.raises(ConfigError, match=r"TieredLLM\.from_dict\(data, tiers="):
            TieredLLM.from_dict(tiered().to_dict())
        with pytest.raises(ConfigError, match=r"TieredLLM\.from_dict\(data, tiers="):
            TieredLLM.from_json(tiered().to_json())

    def test_the_settings_are_kept(self, server, tiers, tiered):
        data = tiered(max_tokens=5, system_prompt="Be short.").to_dict()
        with TieredLLM.from_dict(data, tiers=tiers, policy="estimate") as llm:
            llm.complete(ASK)
            assert llm.system_prompt == "Be short."
        assert server.requests[0].settings["max_tokens"] == 5


class TestAroundTheTiers:
    """What LlamaIndex's LLMs do around a model call is done once, and not lost."""

    def test_the_system_prompt_of_all_tiers_is_that_of_the_llm(self, server, like, tiered, prompt):
        tiers = [like(name, system_prompt="Be short.") for name in ("small", "medium")]
        tiered(tiers=tiers).predict(prompt, country="France")

        assert server.requests[0].messages[0]["content"] == "Be short."

    def test_the_format_of_completion_models_too(self, server, like, tiered, prompt):
        def wrap(text):
            return f"[INST] {text} [/INST]"

        models = [like(name, is_chat_model=False, completion_to_prompt=wrap) for name in ("small", "medium")]
        llm = tiered(tiers=models, judge=lambda question, answer: True)
        llm.predict(prompt, country="France")
        llm.complete(ASK)

        asks = [request.ask for request in server.requests]
        assert asks == ["[INST] Name a city in France with 3 letters. [/INST]", f"[INST] {ASK} [/INST]"]

    def test_a_completion_model_judges_in_its_own_format(self, server, like, tiered):
        models = [like("small", is_chat_model=False), like("medium", is_chat_model=False)]

        assert tiered(tiers=models).complete(ASK).text == "Lyon"
        assert server.requests[1].judges


class TestMetadata:
    def test_it_holds_for_whichever_tier_answers(self, openai, like, tiered):
        llm = tiered(tiers=[like("small", context_window=9_000, max_tokens=100), openai("gpt-4.1", max_tokens=50)])

        assert llm.metadata.context_window == 9_000
        assert llm.metadata.num_output == 100
        assert llm.metadata.model_name == "tiered(small,gpt-4.1)"
        assert llm.metadata is llm.metadata

    def test_the_window_may_be_given(self, tiered):
        assert tiered(context_window=50_000).metadata.context_window == 50_000

    def test_the_role_of_system_prompts(self, openai, tiered):
        assert tiered(tiers=[openai("gpt-5-nano"), openai("gpt-5")]).metadata.system_role is MessageRole.USER
        assert tiered(tiers=[openai("gpt-4.1"), openai("gpt-5")]).metadata.system_role is MessageRole.SYSTEM

    def test_a_small_window_is_skipped_but_not_at_the_top(self, like, tiered, trace_of):
        tiers = [like(name, context_window=5) for name in ("small", "large")]

        answer = tiered(tiers=tiers).complete(ASK)

        assert answer.text == "Paris"
        assert trace_of(answer)["warnings"][0].startswith("tier small skipped: context window 5")

    def test_a_window_that_nobody_told_is_no_limit(self, tiered, trace_of):
        answer = tiered(judge=lambda question, answer: True).complete(f"{ASK} " * 2_000)

        assert trace_of(answer)["final"] == "small"

    def test_tiers_that_cannot_see_are_skipped(self, like, tiered, trace_of):
        tiers = [Tier(like("small"), capabilities={"tools"}), like("large")]
        image = ImageBlock(image=b"aGVsbG8=", image_mimetype="image/png")

        answer = tiered(tiers=tiers).chat([ChatMessage(blocks=[TextBlock(text="What is this?"), image])])

        assert trace_of(answer)["warnings"] == ["tier small skipped: no images"]


def test_models_with_another_namespace_learn_apart(tiered, tmp_path):
    llms = [tiered(history=tmp_path / "tiers", namespace=name) for name in (None, "one", "other", "one")]

    llms[1].complete(ASK)

    assert [len(list(llm.history.export())) for llm in llms] == [0, 1, 0, 1]


def _ask_in_a_worker(llm):
    answer = llm.complete(ASK)
    return answer.text, len(list(llm.history.export()))


@pytest.mark.parametrize("as_initializer", [False, True])
def test_a_spawned_pool_shares_the_folder(tiered, tmp_path, as_initializer):
    llm = tiered(history=tmp_path / "tiers")
    text = llm.complete(ASK).text
    context = multiprocessing.get_context("spawn")
    given = {"initializer": _ask_in_a_worker, "initargs": (llm,)} if as_initializer else {}

    with context.Pool(1, **given) as pool:
        found = pool.map_async(_ask_in_a_worker, [llm, llm], chunksize=1).get(60)

    known = 2 if as_initializer else 1
    assert found == [(text, known + 1), (text, known + 2)]


def test_a_spawned_pool_works_without_a_folder_that_is_not_shared(tiered, tmp_path, capfd):
    llm = tiered(history=tmp_path / "tiers")
    text = llm.complete(ASK).text
    pickled = pickle.dumps(llm)
    llm.close()

    with ChromaHistory(tmp_path / "tiers", embedded=True), multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.map_async(_load_and_ask, [pickled, pickled], chunksize=1).get(60)

    # Each copy has a memory of its own.
    assert found == [(text, 1), (text, 1)]
    assert capfd.readouterr().err.count("works without its history's folder") == 1


def _load_and_ask(pickled):
    return _ask_in_a_worker(pickle.loads(pickled))  # noqa: S301


class TestSecrets:
    def test_nothing_that_shows_an_llm_shows_a_key(self, tiered, key, city, tmp_path):
        llm = tiered(history=tmp_path / "secret-folder")

        shown = [repr(llm), str(llm), json.dumps(llm.to_dict()), json.dumps(llm.to_payload()), llm.to_json()]
        shown += [llm.model_dump_json(), repr(llm.as_structured_llm(city)), json.dumps(llm.dict())]

        assert not [text for text in shown if key in text or "secret-folder" in text]
        assert "small" in shown[0]

    def test_a_key_that_a_provider_echoes_is_hidden(self, server, tiered, key, caplog):
        caplog.set_level(logging.DEBUG, "llm_tiers")
        server.scripts = dict.fromkeys(server.scripts, HttpError(401, f"Incorrect API key provided: {key}."))

        with pytest.raises(AllTiersFailed) as failure:
            tiered().complete(ASK)

        shown = repr(failure.value) + str(failure.value) + repr(failure.value.exceptions) + caplog.text
        assert "Incorrect API key provided: ***" in shown
        assert key not in shown + failure.value.trace.model_dump_json()

    @pytest.mark.parametrize("way", ["chat", "achat", "stream_chat", "astream_chat"])
    def test_a_traceback_with_locals_shows_no_key_in_the_performer(self, server, tiered, key, way):
        class Interrupted(OpenAILike):
            def __getattribute__(self, name):
                if name in ("_get_client", "_get_aclient"):
                    raise KeyboardInterrupt
                return super().__getattribute__(name)

        settings = {"is_chat_model": True, "api_base": server.base_url, "api_key": key}
        llm = tiered(tiers=[Interrupted(model=name, **settings) for name in ("small", "large")], policy="estimate")
        messages = [ChatMessage("What is the capital of France?")]

        async def asked():
            answer = await getattr(llm, way)(messages)
            if "stream" in way:
                async for _ in answer:
                    pass

        def ask():
            if way.startswith("a"):
                with closing(asyncio.new_event_loop()) as loop:
                    loop.run_until_complete(asked())
            else:
                list(getattr(llm, way)(messages))

        with pytest.raises(KeyboardInterrupt) as raised:
            ask()

        frames = [entry.frame.f_locals for entry in raised.traceback if str(entry.path).endswith("tiers/performer.py")]
        assert frames
        assert not [name for frame in frames for name, value in frame.items() if key in repr(value)]

    def test_an_import_brings_no_other_framework(self):
        unwanted = ["langchain_core", "langchain", "chromadb", "wordllama", "langchain_tiers"]
        code = f"import sys, llamaindex_tiers; print([name for name in {unwanted!r} if name in sys.modules])"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"

    def test_the_public_names(self):
        import llamaindex_tiers

        assert llamaindex_tiers.__all__ == ["TierDecision", "TieredLLM", "tiers_of"]


class TestCopies:
    @pytest.mark.parametrize("again", [lambda llm: pickle.loads(pickle.dumps(llm)), copy.deepcopy])  # noqa: S301
    def test_they_answer_as_the_first(self, server, tiered, again):
        llm = tiered(starter=FixedStarter("medium"), temperature=0.25, node="drafts", system_prompt="Be short.")
        llm.complete(ASK)
        server.forget()

        with again(llm) as twin:
            trace = twin.complete(ASK).additional_kwargs["tiers"]

        assert (trace["start"], trace["node"], twin.system_prompt) == ("medium", "drafts", "Be short.")
        assert server.requests[0].settings["temperature"] == 0.25
        assert trace["cost_usd"] > 0

    def test_a_pickle_finds_its_folder_again(self, tiered, learner, tmp_path):
        llm = tiered(history=tmp_path / "tiers", starter=learner)
        for _ in range(3):
            llm.complete(ASK)
        llm.close()

        with pickle.loads(pickle.dumps(llm)) as again:  # noqa: S301
            assert again.complete(ASK).additional_kwargs["tiers"]["neighbours"] == 3

    def test_handlers_that_cannot_be_pickled_are_left_out(self, tiered, caplog):
        counter = TokenCountingHandler(tokenizer=lambda text: text.split())
        llm = tiered(callback_manager=CallbackManager([counter]))

        with pickle.loads(pickle.dumps(llm)) as again:  # noqa: S301
            assert again.complete(ASK).text
        assert "callback manager cannot be pickled" in caplog.text

    def test_a_deep_copy_shares_what_is_learned(self, tiered, learner):
        llm = tiered(starter=learner)
        twin = copy.deepcopy(llm)
        for _ in range(3):
            twin.complete(ASK)

        assert llm.complete(ASK).additional_kwargs["tiers"]["neighbours"] == 3

    def test_a_copy_with_another_setting_uses_it(self, server, tiered):
        answer = tiered().model_copy(update={"temperature": 0.5, "node": "drafts"}).complete(ASK)

        assert server.requests[0].settings["temperature"] == 0.5
        assert answer.additional_kwargs["tiers"]["node"] == "drafts"

    @pytest.mark.parametrize("name", ["node", "tiers"])
    def test_a_setting_cannot_be_changed_behind_its_back(self, tiered, name):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(tiered(), name, None)


class TestBadInput:
    @pytest.fixture
    def refused(self, server):
        def refused(match, make):
            with pytest.raises(ConfigError, match=match) as failure:
                make()
            assert server.requests == ()
            assert "sk-very-secret-key" not in str(failure.value)

        return refused

    @pytest.mark.parametrize(
        ("wrong", "told"),
        [
            ({"model": "small", "api_key": "sk-very-secret-key"}, "a dict"),
            (lambda messages: "Lyon", "a function"),
            (MockLLM, "the class MockLLM"),
            (None, "a NoneType"),
            (Tier(3, name="three"), "a int"),
        ],
    )
    def test_a_tier_that_is_no_llm(self, refused, like, wrong, told):
        refused(rf"tiers\[1\] is no LLM but {told}; give one", lambda: TieredLLM([like("small"), wrong]))

    @pytest.mark.parametrize("wrong", ["gpt-4.1", None, {"small": "gpt-4.1"}, 3])
    def test_tiers_that_are_no_list(self, refused, wrong):
        refused("tiers must be a list of LLMs", lambda: TieredLLM(tiers=wrong))

    def test_an_llm_in_place_of_the_list(self, refused, like):
        refused("tiers must be a list.*not OpenAILike", lambda: TieredLLM(tiers=like("small")))

    def test_a_ladder_that_is_none(self, refused, like):
        refused("the ladder is empty", lambda: TieredLLM([]))
        refused("the ladder has only 'small'", lambda: TieredLLM([like("small")]))
        refused("'small' stands more than once", lambda: TieredLLM([like("small"), like("small")]))

    def test_a_tier_without_a_name(self, refused, like):
        refused(r"tiers: MockLLM has no model name.*Tier\(model, name=", lambda: TieredLLM([MockLLM(), like("large")]))

    @pytest.mark.parametrize("name", ["no-such-model", "anthropic:claude", "", "openai:"])
    def test_an_unknown_name(self, refused, like, name):
        refused(r"tiers\[0\].*'gpt-5-mini'", lambda: TieredLLM([name, like("large")]))

    def test_a_model_that_openai_does_not_have(self, refused, openai, like):
        refused(
            r"tiers: 'small' cannot say what it is \(Unknown model 'small'\).*OpenAILike\(model=",
            lambda: TieredLLM([openai("small"), like("large")]),
        )

    def test_a_name_without_the_package(self, refused, like, monkeypatch):
        monkeypatch.setitem(sys.modules, "llama_index.llms.openai", None)
        refused(r"pip install 'llm-tiers\[llamaindex\]'", lambda: TieredLLM(["gpt-4.1", like("large")]))

    @pytest.mark.parametrize(
        ("argument", "wrong"),
        [
            ("policy", "clever"),
            ("starter", "small"),
            ("judge", "yes"),
            ("judge", PromptJudge(model="huge")),
            ("judge", PromptJudge(model=Tier("gpt-5", name="referee"))),
            ("embedding", 3),
            ("prices", {"small": "cheap"}),
            ("node", 3),
            ("query_text", "text"),
            ("on_trace", "print"),
            ("history", 3),
            ("context_window", "much"),
            ("temperature", "hot"),
            ("api_key", ["sk-very-secret-key"]),
            ("judgee", None),
        ],
    )
    def test_an_argument_of_another_kind(self, refused, tiered, argument, wrong):
        refused(rf"\b{argument}\b", lambda: tiered(**{argument: wrong}))

    @pytest.mark.parametrize(
        ("method", "given", "match"),
        [
            ("complete", 3, "prompt must be a text, not a int"),
            ("chat", ASK, "messages must be a list of ChatMessage, not a str"),
            ("chat", [], "messages: there is no message"),
            ("chat", [ASK], r"messages: \[0\] is no ChatMessage but a str"),
        ],
    )
    def test_a_call_with_something_else(self, refused, tiered, take, method, given, match):
        refused(match, lambda: take(tiered(), method, given))

    def test_a_pin_that_is_no_tier(self, refused, tiered, take):
        refused("model='huge' pins a tier that the ladder lacks", lambda: take(tiered(), "complete", ASK, model="huge"))

    def test_a_query_text_that_returns_no_text(self, refused, tiered):
        refused("query_text returned int", lambda: tiered(query_text=len).complete(ASK))

    def test_a_wrong_argument_leaves_no_folder_open(self, tiered, tmp_path):
        with pytest.raises(ConfigError, match="prices"):
            tiered(history=tmp_path / "tiers", prices={"small": -1})
        assert not (tmp_path / "tiers").exists()


def test_the_text_to_find_similar_calls_by(tiered):
    with ChromaHistory(store_text=True) as history:
        llm = tiered(history=history, query_text=lambda messages: messages[-1].content.upper())
        llm.complete("and of Italy?")
        assert [record["text"] for record in history.export()] == ["AND OF ITALY?"]


class TestDoubles:
    """LlamaIndex's own test doubles as tiers."""

    @pytest.fixture
    def doubled(self):
        llms = []

        def make(*models, **settings):
            tiers = [Tier(model, name=f"double{number}", price=(1, 1)) for number, model in enumerate(models)]
            llms.append(TieredLLM(tiers, **settings))
            return llms[-1]

        yield make
        for llm in llms:
            llm.close()

    def test_texts(self, doubled, take, asked):
        llm = doubled(MockLLM(max_tokens=2), MockLLM(), judge=lambda question, answer: "text" not in answer)

        assert "".join(item.delta or "" for item in take(llm, "complete", ASK)) in (ASK, "")
        assert take(llm, "complete", ASK)[-1].text == ASK
        assert not llm.metadata.is_chat_model

    def test_function_calls(self, doubled, take, look_up):
        wrong = MockFunctionCallingLLM(is_chat_model=True)
        llm = doubled(
            wrong, MockFunctionCallingLLM(is_chat_model=True, response_generator=_calls), judge=lambda q, a: True
        )

        items = take(llm, "chat_with_tools", [look_up], user_msg=ASK)

        (selection,) = llm.get_tool_calls_from_response(items[-1])
        assert selection.tool_kwargs == {"city": "Paris"}

    # LlamaIndex looks through all members of an agent for its steps, those that pydantic warns of included.
    @pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning")
    def test_one_that_claims_to_call_tools_is_asked_as_the_plain_one_is(self, doubled, look_up):
        """LlamaIndex's own way to call a function with an LLM that has no method for it: in words."""

        class Claiming(MockLLM):
            @property
            def metadata(self):
                return super().metadata.model_copy(update={"is_function_calling_model": True})

            def _generate_text(self, length):
                return 'Thought: Hm.\nAction: look_up\nAction Input: {"city": "Paris"}'

        class City(BaseModel):
            """A city."""

            city: str

        llm = doubled(Claiming(max_tokens=2), Claiming(max_tokens=2), judge=lambda question, answer: True)

        assert llm.metadata.is_function_calling_model
        assert outcome(llm, look_up) == outcome(Claiming(max_tokens=2), look_up)
        assert program(llm, City) == program(Claiming(max_tokens=2), City)

    @pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning")
    @pytest.mark.parametrize("offered", ["tools", "no tools"])
    async def test_one_with_methods_for_tools_of_its_own_is_asked_by_them(self, doubled, look_up, offered):
        """As LlamaIndex's agents ask a model that is no `FunctionCallingLLM` and has the methods of one."""

        class Calling(MockLLM):
            @property
            def metadata(self):
                return super().metadata.model_copy(update={"is_function_calling_model": True})

            async def astream_chat_with_tools(self, tools, chat_history, **kwargs):
                done = chat_history[-1].role == "tool" or not tools
                calls = [] if done else [ToolSelection(tool_id="1", tool_name="look_up", tool_kwargs={"city": "Paris"})]

                async def chunks():
                    message = ChatMessage(role="assistant", content="Done.", additional_kwargs={"tool_calls": calls})
                    yield ChatResponse(message=message, delta="Done.")

                return chunks()

            def get_tool_calls_from_response(self, response, error_on_no_tool_call=False):
                return response.message.additional_kwargs["tool_calls"]

        async def run(llm):
            agent = FunctionAgent(tools=[look_up] if offered == "tools" else [], llm=llm)
            output = await agent.run(ASK, memory=ChatMemoryBuffer.from_defaults(token_limit=10_000))
            return str(output), [call.tool_kwargs for call in output.tool_calls]

        llm = doubled(Calling(), Calling(), judge=lambda question, answer: True)
        assert await run(llm) == await run(Calling())

    def test_predict(self, doubled, look_up):
        llm = doubled(MockLLM(max_tokens=2), MockLLM(), judge=lambda question, answer: "text" not in answer)

        assert llm.predict(PromptTemplate("Say {word}"), word="hello") == "Say hello"


def outcome(llm, tool):
    given = {"react_chat_formatter": ReActChatFormatter(), "output_parser": ReActOutputParser()}
    return str(llm.predict_and_call([tool], user_msg=ASK, **given))


def program(llm, kind):
    try:
        return FunctionCallingProgram.from_defaults(kind, prompt_template_str="Name a city.", llm=llm)()
    except ValueError as error:
        return str(error)


def _calls(messages, **kwargs):
    from llama_index.core.base.llms.types import ToolCallBlock

    block = ToolCallBlock(tool_call_id="1", tool_name="look_up", tool_kwargs={"city": "Paris"})
    return ChatMessage(role="assistant", blocks=[block])


class TestComparisons:
    def test_the_users_own_comparison(self, server, tiered):
        server.scripts |= {"small": "It may be 7", "medium": "I would say 7"}

        tiered(policy="doubt", equal=lambda one, other: one.text[-1] == other.text[-1]).complete("Which one?")

        assert len(server.requests) == 2

    def test_one_that_is_no_function_is_refused(self, server, tiered):
        with pytest.raises(ConfigError, match="equal must be a function of two answers"):
            tiered(equal="same")
        with pytest.raises(ConfigError, match="compare must map names of fields"):
            tiered(compare=["city"])
        assert not server.requests
