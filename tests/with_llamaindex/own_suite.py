"""LlamaIndex's own tests, with every LLM that they pass to a component wrapped: what fails, and what only ours fails.

    python tests/with_llamaindex/own_suite.py PATH [--ways forwarder one default] [-- pytest's arguments]

`PATH` is the folder `llama-index-core/tests` of LlamaIndex's repository, at the tag of the version installed, whose
distribution lacks them. They run once as they are and once in each way:

- `forwarder`: each LLM in a class that passes every call on and does nothing else. What fails here is tied to the
  class of the test's own LLM, and no wrapper can pass it.
- `one`: in a `TieredLLM` whose first tier answers everything, unjudged.
- `default`: in a `TieredLLM` with the default policy, whose two tiers are that one LLM.

Printed are the numbers, and for each way the tests that fail in it and did not as they are, by the kind of the failure.
A test that fails in the forwarder as well is marked with `*`.

Some failures follow from what a ladder is:

- An empty answer is a missing one, and the next tier is asked: `test_empty_calculator_agent`.
- In the default all tiers answer a profiled call, so a mock that answers from a list is asked twice:
  `test_workflow_with_state`, `test_function_agent_streams_empty_tool_arguments`.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from llama_index.core.base.llms.types import LLMMetadata
from llama_index.core.llms import LLM
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.structured_llm import StructuredLLM
from pydantic import BaseModel, PrivateAttr

WAYS = ("forwarder", "one", "default")

_WAY = "LLM_TIERS_OWN_SUITE_WAY"
_RESULTS = "LLM_TIERS_OWN_SUITE_RESULTS"

Failures = Mapping[str, str]
"""What went wrong, by the name of the test."""


# Wrapping


class Forwarder(FunctionCallingLLM):
    """Passes every call on to another LLM."""

    _inner: Any = PrivateAttr()

    def __init__(self, inner: LLM) -> None:
        super().__init__(**{name: getattr(inner, name) for name in LLM.model_fields})
        self._inner = inner

    @property
    def metadata(self) -> LLMMetadata:
        return self._inner.metadata  # type: ignore[no-any-return]

    def _prepare_chat_with_tools(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return self._inner._prepare_chat_with_tools(*args, **kwargs)  # type: ignore[no-any-return]


def _forwarding(name: str) -> Callable[..., Any]:
    def method(self: Forwarder, *args: Any, **kwargs: Any) -> Any:
        return getattr(self._inner, name)(*args, **kwargs)

    return method


_CALLS = [
    f"{way}{name}"
    for name in ("complete", "chat", "chat_with_tools", "structured_predict")
    for way in ("", "a", "stream_", "astream_")
]

for _name in (*_CALLS, "predict_and_call", "apredict_and_call", "get_tool_calls_from_response"):
    setattr(Forwarder, _name, _forwarding(_name))
# Without what the base class declares, since it was filled in after the class was made.
Forwarder.__abstractmethods__ = frozenset()


def wrapped(llm: LLM, way: str) -> LLM:
    """Return an LLM wrapped in one of the ways."""
    if isinstance(llm, StructuredLLM):
        return llm.model_copy(update={"llm": wrapped(llm.llm, way)})
    if way == "forwarder":
        return Forwarder(llm)

    from llamaindex_tiers import TieredLLM
    from llm_tiers import FixedStarter, Policy, Tier, Unjudged

    tiers = [Tier(llm, name=name, price=(1, 2)) for name in ("small", "large")]
    if way == "one":
        return TieredLLM(tiers, policy=Policy("one", FixedStarter("small"), Unjudged()))
    return TieredLLM(tiers)


class Wrapping:
    """Wraps each LLM once, so that components that share one share its wrapper."""

    def __init__(self, way: str) -> None:
        self._way = way
        self._made: dict[int, tuple[LLM, LLM]] = {}

    def __call__(self, llm: Any) -> Any:
        """Return the wrapper of an LLM; what is none, or is a wrapper, as it is."""
        # By its type: a mock says that it is an instance of whatever it stands for.
        if not issubclass(type(llm), LLM) or any(llm is wrapper for _, wrapper in self._made.values()):
            return llm
        if id(llm) not in self._made:
            # The LLM is kept, or another might get its identity.
            self._made[id(llm)] = (llm, wrapped(llm, self._way))
        return self._made[id(llm)][1]


# Where LlamaIndex takes LLMs


def patch_components(modules: Iterable[ModuleType], wrap: Callable[[Any], Any]) -> None:
    """Wrap what every function, method and constructor of LlamaIndex is given as `llm`."""
    ours, tests = [], []
    for module in modules:
        (ours if module.__name__.startswith("llama_index.core") else tests).append(module)
    classes = {value for module in ours for value in vars(module).values() if inspect.isclass(value)}
    for kind in classes:
        if kind.__module__.startswith("llama_index.core") and not issubclass(kind, LLM):
            _patch_class(kind, wrap)
    taking: dict[FunctionType, FunctionType] = {}
    for module in (*ours, *tests):
        for name, value in list(vars(module).items()):
            if (
                isinstance(value, FunctionType)
                and value.__module__.startswith("llama_index.core")
                and _takes_llm(value)
            ):
                # The tests have imported it under its name, and so have LlamaIndex's other modules.
                setattr(module, name, taking.setdefault(value, _wrapping(value, wrap)))


def _patch_class(kind: type, wrap: Callable[[Any], Any]) -> None:
    for name, value in list(vars(kind).items()):
        if isinstance(value, FunctionType) and _takes_llm(value):
            setattr(kind, name, _wrapping(value, wrap))
        elif isinstance(value, classmethod | staticmethod) and _takes_llm(value.__func__):
            setattr(kind, name, type(value)(_wrapping(value.__func__, wrap)))
        elif isinstance(value, property) and value.fset is not None and _takes_llm(value.fset):
            setattr(kind, name, value.setter(_wrapping(value.fset, wrap)))
    if issubclass(kind, BaseModel) and "llm" in kind.model_fields and "__init__" not in vars(kind):
        kind.__init__ = _wrapping(kind.__init__, wrap)  # type: ignore[misc]


def _takes_llm(function: Callable[..., Any]) -> bool:
    try:
        return "llm" in inspect.signature(function).parameters
    except (ValueError, TypeError):
        return False


def _wrapping(function: Any, wrap: Callable[[Any], Any]) -> Any:
    names = [*inspect.signature(function).parameters]
    place = names.index("llm") if "llm" in names else None

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        caller = sys._getframe(1).f_locals.get("self")

        def taken(llm: Any) -> Any:
            # An LLM that asks by way of a component is inside the wrapper already.
            return llm if llm is caller else wrap(llm)

        if "llm" in kwargs:
            kwargs["llm"] = taken(kwargs["llm"])
        elif place is not None and len(args) > place:
            args = (*args[:place], taken(args[place]), *args[place + 1 :])
        return function(*args, **kwargs)

    return call


# The plugin of pytest


def pytest_collection_finish(session: Any) -> None:
    """Wrap from here on: all modules are loaded now."""
    way = os.environ.get(_WAY)
    if way:
        loaded = [module for name, module in sys.modules.items() if name.startswith("llama_index.core")]
        tests = {item.module for item in session.items if hasattr(item, "module")}
        patch_components([*loaded, *tests], Wrapping(way))


def pytest_runtest_logreport(report: Any) -> None:
    """Write down each result."""
    if os.environ.get(_RESULTS) and (report.when == "call" or report.failed):
        crash = getattr(report.longrepr, "reprcrash", None)
        said = "" if not report.failed else crash.message if crash else str(report.longrepr)
        with Path(os.environ[_RESULTS]).open("a") as file:
            print(json.dumps([report.nodeid, report.outcome, said]), file=file)


# The command


def run(tests: Path, way: str | None, arguments: Iterable[str]) -> tuple[int, dict[str, str]]:
    """Run the tests in one way; return how many ran, and what went wrong by test."""
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results"
        results.touch()
        paths = [str(tests.parent), str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        told = {"PYTHONPATH": os.pathsep.join(paths), _RESULTS: str(results), _WAY: way or ""}
        options = ["-q", "-p", "own_suite", "-p", "no:cacheprovider", "-W", "ignore", "--tb=short"]
        options += ["-c", os.devnull, "--rootdir", str(tests.parent), "-o", "asyncio_mode=auto", *arguments]
        command = [sys.executable, "-m", "pytest", *options, str(tests)]
        done = subprocess.run(command, env={**os.environ, **told}, cwd=tests.parent, capture_output=True, text=True)  # noqa: PLW1510
        reports = [json.loads(line) for line in results.read_text().splitlines()]
        if not reports:
            raise SystemExit(f"no test ran:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    failures = {name: said for name, outcome, said in reports if outcome == "failed"}
    return len({name for name, _, _ in reports}), failures


def kind_of(said: str) -> str:
    """Return what failures of one kind have in common."""
    line = said.strip().partition("\n")[0]
    return re.sub(r"0x[0-9a-f]+|\d+", "#", line)[:110] or "no message"


def by_kind(failures: Failures, known: Failures, forwarded: Failures) -> str:
    """Return failures as lines, the most frequent kind first.

    Args:
        failures: The failures.
        known: Those without a wrapper, which are left out.
        forwarded: Those in the forwarder, which are marked.
    """
    kinds = defaultdict(list)
    for name, said in failures.items():
        if name not in known:
            kinds[kind_of(said)].append(f"    {'*' if name in forwarded else ' '} {name}")
    ranked = sorted(kinds.items(), key=lambda entry: -len(entry[1]))
    return "\n".join(f"  {len(names)}: {kind}\n" + "\n".join(names) for kind, names in ranked)


def main() -> None:
    given = sys.argv[1:]
    end = given.index("--") if "--" in given else len(given)
    own, others = given[:end], given[end + 1 :]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="the folder llama-index-core/tests")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    asked = parser.parse_args(own)
    tests = asked.path.resolve()
    number, known = run(tests, None, others)
    print(f"as they are: {len(known)} of {number} fail")  # noqa: T201
    forwarded: Failures = {}
    for way in asked.ways:
        number, failures = run(tests, way, others)
        if way == "forwarder":
            forwarded = failures
        new = failures.keys() - known.keys()
        print(f"{way}: {len(failures)} of {number} fail, {len(new)} of them not as they are,", end=" ")  # noqa: T201
        print(f"{len(new - forwarded.keys())} of those not in the forwarder")  # noqa: T201
        print(by_kind(failures, known, forwarded))  # noqa: T201


if __name__ == "__main__":
    main()
