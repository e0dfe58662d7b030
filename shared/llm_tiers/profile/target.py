"""The ladder and the check that a user names on the command line, as `module:attribute` or `file.py:attribute`."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from pkgutil import resolve_name
from types import ModuleType
from typing import Any

from llm_tiers.arguments import kind_of
from llm_tiers.errors import ConfigError, LlmTiersError
from llm_tiers.integration.asker import Asker
from llm_tiers.integration.tiered import Tiered
from llm_tiers.ladder.tiers import Tier
from llm_tiers.profile.checks import CHECKS

__all__ = ["load_check", "load_ladder", "load_object"]

_MODELS = {"langchain_core": "langchain_tiers:TieredChatModel", "llama_index": "llamaindex_tiers:TieredLLM"}
"""A framework's package to the class that makes a ladder of its models; only the one needed is imported."""


def load_ladder(target: str) -> Asker:
    """Return what asks the tiers of the ladder that `target` names.

    Args:
        target: Names a `TieredChatModel`, a `TieredLLM`, a list of tiers, or a function without arguments that returns
            one of these.

    Raises:
        ConfigError: The target cannot be imported, or is something else.
    """
    argument = f"--ladder {target}"
    found = load_object("--ladder", target)
    if inspect.isfunction(found):
        try:
            found = found()
        except (Exception, SystemExit) as error:  # a user's function may raise anything, and the command must name it
            raise ConfigError(f"{argument}: the function raised {_in_one_line(error)}") from error
    if isinstance(found, list | tuple):
        found = _model_over(argument, found)
    if not isinstance(found, Tiered):
        raise ConfigError(
            f"{argument} is {kind_of(found)}; it must be a TieredChatModel, a TieredLLM or a list of tiers"
        )
    return found.asker()


def load_check(target: str) -> Callable[[str, str, Any], Any]:
    """Return the function that `target` names, as one of question, answer and key.

    Args:
        target: `exact`, `contains`, or `module:attribute` or `file.py:attribute`.

    Raises:
        ConfigError: The target cannot be imported, or is no such function.
    """
    if target in CHECKS:
        return CHECKS[target]
    if ":" not in target:
        raise ConfigError(f"--check {target} must be {', '.join(CHECKS)}, module:attribute or file.py:attribute")
    found = load_object("--check", target)
    fix = f"--check {target} must be a function of question, answer and key"
    if not callable(found) or isinstance(found, type):
        raise ConfigError(f"{fix}, not {kind_of(found)}")
    check: Callable[..., Any] = found
    try:
        parameters = inspect.signature(check)
    except (TypeError, ValueError):  # functions written in C may have no signature
        return check
    # Bound with values instead of counted: defaults, `*args` and bound methods are all seen to.
    for count in (3, 2):
        try:
            parameters.bind(*["given"] * count)
        except TypeError:
            continue
        # A function written for `grade=` takes no key, and can be used here as well.
        return check if count == 3 else lambda question, answer, _: check(question, answer)  # noqa: PLR2004
    raise ConfigError(f"{fix}; its signature is {parameters}")


def load_object(option: str, target: str) -> Any:
    """Import what `target` names.

    Raises:
        ConfigError: There is no such module, file or attribute, or the import fails.
    """
    argument = f"{option} {target}"
    module, _, attribute = target.rpartition(":")
    if not module or not attribute:
        raise ConfigError(f"{argument} must be module:attribute or file.py:attribute, such as app.py:model")
    try:
        loaded = _from_file(argument, Path(module)) if module.endswith(".py") else _from_name(module)
    except LlmTiersError as error:
        raise ConfigError(f"{argument}: {error}") from error
    # SystemExit too: a script that ends in `sys.exit()` would end this command without a word, with status 0.
    except (Exception, SystemExit) as error:  # a user's module may raise anything, and the command must name it
        raise ConfigError(f"{argument}: importing {module} raised {_in_one_line(error)}") from error
    try:
        return attrgetter(attribute)(loaded)
    except AttributeError:
        raise ConfigError(f"{argument}: {module} has no attribute {attribute!r}") from None


def _from_name(module: str) -> ModuleType:
    # As with `python -m`: an installed command has its own folder on the path instead of the current one.
    _look_in(Path.cwd())
    return importlib.import_module(module)


def _from_file(argument: str, path: Path) -> ModuleType:
    # Not `Path.is_file`, which raises where a name is too long.
    if not os.path.isfile(path):  # noqa: PTH113
        raise ConfigError(f"there is no file {path}")
    _look_in(path.resolve().parent)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{argument}: {path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    # Run once, though the ladder and the check may both be in it: it may open files or make clients.
    loaded = sys.modules.get(spec.name)
    origin = getattr(loaded, "__file__", None)
    if loaded is not None and origin is not None and Path(origin).resolve() == path.resolve():
        return loaded
    # Registered before it runs: dataclasses and pickle look up the module of a class by its name.
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        # As `import` does: half a module must not be taken for the whole one the next time.
        del sys.modules[spec.name]
        raise
    return module


def _look_in(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _model_over(argument: str, tiers: list[Any] | tuple[Any, ...]) -> Any:
    # By the names of packages, since importing a framework to compare classes takes seconds, and it may be missing.
    models = [tier.model if isinstance(tier, Tier) else tier for tier in tiers]
    roots = {kind.__module__.partition(".")[0] for model in models for kind in type(model).__mro__}
    known = [path for root, path in _MODELS.items() if root in roots]
    # A name alone, such as "openai:gpt-5-mini", is in LangChain's notation; LlamaIndex has none.
    if not known and models and all(isinstance(model, str) for model in models):
        known = [_MODELS["langchain_core"]]
    if len(known) != 1:
        raise ConfigError(f"{argument}: the list must hold models of one framework, LangChain or LlamaIndex")
    try:
        return resolve_name(known[0])(list(tiers))
    except LlmTiersError as error:
        raise ConfigError(f"{argument}: {error}") from error


def _in_one_line(error: BaseException) -> str:
    said = str(error).partition("\n")[0][:200]
    return f"{type(error).__name__}: {said}" if said else type(error).__name__
