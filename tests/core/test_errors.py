"""The exception tree, and the group that carries every tier's failure."""

import inspect
import pickle
import threading

import pytest

from llm_tiers import AllTiersFailed, ConfigError, HistoryError, LlmTiersError, TierError, Trace, UnknownTrace, errors
from llm_tiers.errors import Origin


def test_every_exception_has_the_one_base():
    raised = [value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, BaseException)]
    assert {cls.__name__ for cls in raised} == set(errors.__all__)
    assert all(issubclass(cls, LlmTiersError) for cls in raised)


@pytest.mark.parametrize(
    ("name", "parent"),
    [
        ("ConfigError", ValueError),
        ("HistoryLocked", HistoryError),
        ("HistoryUnreachable", HistoryError),
        ("EmbeddingMismatch", HistoryError),
        ("UnknownTrace", HistoryError),
        ("UnknownTrace", KeyError),
    ],
)
def test_parents_that_a_caller_may_catch_instead(name, parent):
    assert issubclass(getattr(errors, name), parent)


def test_the_tree_in_the_docstring_names_every_exception():
    assert all(name in errors.__doc__ for name in errors.__all__)


def test_a_tier_error_names_tier_and_cause():
    cause = TimeoutError("no reply in 30 s")
    error = TierError("small", cause)
    assert (error.tier, error.cause) == ("small", cause)
    assert str(error) == "tier 'small' failed: TimeoutError: no reply in 30 s"


def test_a_tier_error_takes_a_plain_text():
    assert str(TierError("small", "cannot serve the call")) == "tier 'small' failed: cannot serve the call"


def test_a_short_cause_is_kept_whole_and_a_long_one_is_cut():
    assert TierError("small", "x" * 200).summary == "x" * 200
    cut = TierError("small", "x" * 201).summary
    assert len(cut) == 200
    assert cut.startswith("x" * 199)
    assert not cut.endswith("x")


def test_an_unknown_trace_reads_as_a_sentence():
    assert str(UnknownTrace("no record of 'abc'")) == "no record of 'abc'"


@pytest.fixture
def failed():
    group = AllTiersFailed("nobody answered", [TierError("small", TimeoutError("slow")), TierError("large", "down")])
    group.trace = Trace(trace_id="abc", policy="default")
    return group


def test_the_group_is_caught_by_the_base_by_group_and_by_except_star(failed):
    with pytest.raises(LlmTiersError) as plain:
        raise failed
    assert plain.value is failed
    with pytest.raises(ExceptionGroup):
        raise failed
    caught = []
    try:
        raise failed
    except* TierError as part:
        caught.append(part)
    (part,) = caught
    assert [error.tier for error in part.exceptions] == ["small", "large"]


def test_a_part_of_the_group_keeps_type_message_and_trace(failed):
    slow, rest = failed.split(lambda error: isinstance(error, TierError) and error.tier == "small")
    assert isinstance(slow, AllTiersFailed)
    assert isinstance(rest, AllTiersFailed)
    assert [error.tier for error in rest.exceptions] == ["large"]
    assert slow.message == "nobody answered"
    assert slow.trace.trace_id == "abc"


def test_a_group_has_no_trace_before_the_call_has_ended():
    assert AllTiersFailed("nobody answered", [TierError("small", "down")]).trace is None


def test_the_group_can_be_pickled(failed):
    copy = pickle.loads(pickle.dumps(failed))  # noqa: S301 -- our own bytes
    assert isinstance(copy, AllTiersFailed)
    assert [str(error) for error in copy.exceptions] == [str(error) for error in failed.exceptions]
    assert copy.message == failed.message
    assert copy.trace == failed.trace


def test_a_tier_error_can_be_pickled():
    copy = pickle.loads(pickle.dumps(TierError("small", TimeoutError("slow"))))  # noqa: S301 -- our own bytes
    assert isinstance(copy, TierError)
    assert (copy.tier, copy.summary) == ("small", "TimeoutError: slow")


def test_a_tier_error_says_whether_the_stream_had_begun():
    assert not TierError("small", "down").broke_off
    copy = pickle.loads(pickle.dumps(TierError("small", "down", broke_off=True)))  # noqa: S301 -- our own bytes
    assert copy.broke_off


class Refused(Exception):  # noqa: N818
    """Stands for an error of a client's: its constructor wants more than a text."""

    def __init__(self, message, *, response, body):
        super().__init__(message)
        self.response = response
        self.body = body
        self.status_code = 429


class Gone(ConnectionError):  # noqa: N818
    """An `OSError`, which cannot be combined with a group."""


def failed_like(error, **attributes):
    like = TierError("large", error, origin=Origin(type(error), {**vars(error), **attributes}))
    return AllTiersFailed("nobody answered", [TierError("small", "down"), like], like)


@pytest.mark.parametrize("error", [Refused("no", response=object(), body={}), Gone("no"), KeyError("no")], ids=repr)
def test_it_is_caught_by_the_class_of_the_error_it_stands_for_as_well(error):
    failure = failed_like(error)

    for kind in (type(error), AllTiersFailed, LlmTiersError):
        with pytest.raises(kind) as caught:
            raise failure
        assert caught.value is failure
    assert [one.tier for one in failure.exceptions] == ["small", "large"]
    assert failure.message == "nobody answered"
    assert str(failure).startswith("nobody answered")
    assert type(failure).__name__ == f"AllTiersFailed[{type(error).__name__}]"


def test_it_is_a_group_unless_the_class_it_stands_for_cannot_be_one():
    assert isinstance(failed_like(Refused("no", response=None, body=None)), ExceptionGroup)
    assert not isinstance(failed_like(Gone("no")), ExceptionGroup)


def test_where_a_class_allows_none_below_it_the_next_one_up_is_stood_for():
    class Last(LookupError):  # noqa: N818
        def __init_subclass__(cls):
            raise TypeError("no class below this one")

    assert isinstance(failed_like(Last("no")), LookupError)


def test_it_has_the_attributes_of_the_error_it_stands_for():
    response = object()
    failure = failed_like(Refused("no", response=response, body={"code": "x"}))
    assert (failure.response, failure.body, failure.status_code) == (response, {"code": "x"}, 429)


def test_the_class_is_made_once():
    assert type(failed_like(KeyError("a"))) is type(failed_like(KeyError("b")))


def test_of_many_threads_one_makes_the_class():
    kind, made, barrier = type("Fresh", (Exception,), {}), set(), threading.Barrier(8)

    def make():
        barrier.wait()
        made.add(type(failed_like(kind("no"))))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1


def test_a_ladder_inside_a_ladder_makes_no_further_class():
    inner = failed_like(KeyError("no"))
    assert type(failed_like(inner)) is type(inner)


@pytest.mark.parametrize("error", [Refused("no", response=object(), body={"code": "x"}), Gone("no")], ids=repr)
def test_it_can_be_pickled_without_what_cannot(error):
    failure = failed_like(error, refused=lambda: None)
    failure.trace = Trace(trace_id="abc", policy="default")

    copy = pickle.loads(pickle.dumps(failure))  # noqa: S301 -- our own bytes

    assert type(copy) is type(failure)
    assert copy.trace == failure.trace
    assert [str(one) for one in copy.exceptions] == [str(one) for one in failure.exceptions]
    assert not hasattr(copy, "refused")
    assert getattr(copy, "body", None) == getattr(error, "body", None)


def test_it_can_be_pickled_where_the_class_it_stands_for_cannot():
    class Local(Exception):  # noqa: N818
        pass

    copy = pickle.loads(pickle.dumps(failed_like(Local("no"))))  # noqa: S301 -- our own bytes

    assert isinstance(copy, AllTiersFailed)
    assert [str(one) for one in copy.exceptions] == ["tier 'small' failed: down", "tier 'large' failed: Local: no"]


def test_a_config_error_is_no_tier_error():
    assert not issubclass(ConfigError, TierError)
