"""The house: who may import whom. An import that only types need counts as any other."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

ROOMS = (
    "usage",
    "telling",
    "trace",
    "errors",
    "arguments",
    "files",
    "console",
    "owned",
    "ladder",
    "config",
    "embedding",
    "history.packed",
    "history.record",
    "history.store",
    "history",
    "call",
    "telemetry",
    "agreement",
    "policies.judges",
    "policies.starters",
    "policies",
    "flow",
    "integration",
    "replay",
    "calibration",
    "profile",
    "testing",
    "report",
    "config.command",
    "cli",
)
"""The rooms of `llm_tiers`, lowest first: a file imports from its own room and from rooms before it in this list.

A room is a folder or a single file. Where one lies in another, the longer name counts for what is in it.
"""

PACKAGES = {"llm_tiers": ROOT / "shared", "langchain_tiers": ROOT, "llamaindex_tiers": ROOT}


def modules_of(package: str) -> dict[str, Path]:
    folder = PACKAGES[package]
    found = {}
    for path in sorted((folder / package).rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_of(source: str, modules: dict[str, Path]) -> set[str]:
    """Return which of `modules` a source names in its imports, wherever in the file they stand."""
    named = set()
    for statement in ast.walk(ast.parse(source)):
        if isinstance(statement, ast.Import):
            named |= {alias.name for alias in statement.names}
        elif isinstance(statement, ast.ImportFrom):
            assert statement.level == 0, "a relative import"
            # `from package import module` names the module, `from module import name` the module before the name.
            found = (f"{statement.module}.{alias.name}" for alias in statement.names)
            named |= {name if name in modules else str(statement.module) for name in found}
    return named & modules.keys()


def graph_of(package: str) -> dict[str, set[str]]:
    modules = modules_of(package)
    return {name: imports_of(path.read_text(), modules) - {name} for name, path in modules.items()}


def circle_in(graph: dict[str, set[str]]) -> list[str] | None:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return None


def room_of(module: str) -> str | None:
    """Return the room of a module, or None for the core's own `__init__`, which stands above all rooms."""
    inner = module.removeprefix("llm_tiers").removeprefix(".")
    rooms = [room for room in ROOMS if inner == room or inner.startswith(room + ".")]
    assert rooms or not inner, f"{module} lies in no room"
    return max(rooms, key=len, default=None)


def upward(graph: dict[str, set[str]]) -> list[str]:
    """Return the arrows that run up between rooms."""
    height = {room: place for place, room in enumerate(ROOMS)} | {None: len(ROOMS)}
    return [
        f"{name} -> {other}"
        for name, others in graph.items()
        for other in others
        if height[room_of(other)] > height[room_of(name)]
    ]


@pytest.mark.parametrize("package", PACKAGES)
def test_no_circle_of_files_import_each_other(package):
    assert circle_in(graph_of(package)) is None


def test_no_import_runs_up_between_rooms():
    assert upward(graph_of("llm_tiers")) == []


def test_every_room_is_there_and_drawn():
    drawn = (ROOT / "ARCHITECTURE.md").read_text()
    inhabited = {room_of(module) for module in modules_of("llm_tiers")}
    assert inhabited == {*ROOMS, None}
    assert [room for room in ROOMS if f"`{room.replace('.', '/')}" not in drawn] == []


def test_the_core_knows_no_integration_and_no_integration_the_other():
    names = {
        package: {root for source in modules_of(package).values() for root in roots_in(source)} for package in PACKAGES
    }
    assert names["llm_tiers"].isdisjoint({"langchain_tiers", "llamaindex_tiers", "langchain_core", "llama_index"})
    assert "llamaindex_tiers" not in names["langchain_tiers"]
    assert "langchain_tiers" not in names["llamaindex_tiers"]


def roots_in(path: Path) -> set[str]:
    statements = list(ast.walk(ast.parse(path.read_text())))
    plain = {alias.name for one in statements if isinstance(one, ast.Import) for alias in one.names}
    return {
        name.partition(".")[0]
        for name in plain | {str(one.module) for one in statements if isinstance(one, ast.ImportFrom)}
    }


def test_at_most_eight_files_lie_at_the_top():
    assert len(list((ROOT / "shared/llm_tiers").glob("*.py"))) <= 8


def test_a_circle_is_found_where_only_types_are_imported():
    modules = {"llm_tiers.a": Path(), "llm_tiers.b": Path()}
    one = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from llm_tiers.b import B\n"
    other = "def late():\n    from llm_tiers import a\n"
    graph = {"llm_tiers.a": imports_of(one, modules), "llm_tiers.b": imports_of(other, modules)}
    assert circle_in(graph) is not None


def test_an_arrow_that_runs_up_is_found():
    assert upward({"llm_tiers.call.answer": {"llm_tiers.flow.cascade"}}) == [
        "llm_tiers.call.answer -> llm_tiers.flow.cascade"
    ]
    assert upward({"llm_tiers.flow.cascade": {"llm_tiers.call.answer"}}) == []
    assert upward({"llm_tiers.history.store.shelf": {"llm_tiers.history.chroma"}}) != []
