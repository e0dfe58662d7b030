"""ARCHITECTURE.md and CONTRIBUTING.md against the code: what they name is there."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()

SECTIONS = {
    "The rooms of the core": "shared/llm_tiers",
    "The LangChain integration, file by file": "langchain_tiers",
    "The LlamaIndex integration, file by file": "llamaindex_tiers",
    "The history, file by file": "shared/llm_tiers/history",
}
"""The sections that have a table of files, and the folder that its paths start from."""

PACKAGES = {
    "llm_tiers": "shared/llm_tiers/__init__.py",
    "llm_tiers.errors": "shared/llm_tiers/errors.py",
    "llm_tiers.testing": "shared/llm_tiers/testing/__init__.py",
    "langchain_tiers": "langchain_tiers/__init__.py",
    "llamaindex_tiers": "llamaindex_tiers/__init__.py",
}
"""What is public, and where its `__all__` stands; it is not imported, since the core's tests need no framework."""


def quoted(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", text)


def is_path(name: str) -> bool:
    return re.fullmatch(r"[\w./]+(?:\.py|\.md|\.yml|/)", name) is not None


def section(title: str) -> str:
    return ARCHITECTURE.partition(f"## {title}\n")[2].partition("\n## ")[0]


def files_in_table(title: str, folder: str) -> list[str]:
    """Return the files in a section's table; a row without a room goes on with the room of the row before."""
    found, room = [], ""
    for row in re.findall(r"^\|(.+)\|$", section(title), re.MULTILINE):
        *places, _ = row.split("|")
        rooms = [name for name in quoted(places[0]) if name.endswith("/")] if len(places) > 1 else []
        room = rooms[0] if rooms else "" if places[0].strip() else room
        found += [f"{folder}/{room}{name}" for place in places for name in quoted(place) if name.endswith(".py")]
    return found


@pytest.mark.parametrize(("title", "folder"), SECTIONS.items())
def test_every_file_in_a_table_of_the_architecture_exists(title, folder):
    named = files_in_table(title, folder)
    assert len(named) > 10
    assert [path for path in named if not (ROOT / path).is_file()] == []


def test_every_path_in_the_architecture_exists():
    starts = (ROOT, *(ROOT / folder for folder in SECTIONS.values()))
    in_tables = {path for title, folder in SECTIONS.items() for path in files_in_table(title, folder)}
    names = {path for path in quoted(ARCHITECTURE) if is_path(path)}
    lost = [path for path in names if not any((start / path).exists() for start in starts)]
    # A bare file name stands in a table, where its room is known.
    assert [path for path in lost if not any(known.endswith(f"/{path}") for known in in_tables)] == []


def test_every_name_in_the_architecture_is_in_the_code():
    sources = [path.read_text() for folder in sorted(set(SECTIONS.values())) for path in (ROOT / folder).rglob("*.py")]
    words = set(re.findall(r"\w+", "\n".join(sources)))
    names = [name for name in quoted(ARCHITECTURE) if re.fullmatch(r"[A-Za-z_]\w+(?:\.\w+)*(?:\(.*\)|=)?", name)]
    code = {re.sub(r"\(.*\)|=", "", name) for name in names} - {"shared"}
    assert len(code) > 40
    assert sorted(name for name in code if not is_path(name) and not set(name.split(".")) <= words) == []


@pytest.mark.parametrize(("package", "source"), PACKAGES.items())
def test_contributing_lists_the_public_names(package, source):
    row = re.search(rf"^\| `{re.escape(package)}` \| (.+) \|$", CONTRIBUTING, re.MULTILINE)
    assert row is not None
    assert quoted(row[1]) == public_names(ROOT / source)


def public_names(source: Path) -> list[str]:
    assigned = [node for node in ast.parse(source.read_text()).body if isinstance(node, ast.Assign)]
    (value,) = (node.value for node in assigned if ast.unparse(node.targets[0]) == "__all__")
    return ast.literal_eval(value)
