"""How big each dependency is: `python benchmarks/sizes.py` prints the table of docs/install.md.

For the core, and for the core with each extra, a fresh virtual environment is made and the requirements of
`pyproject.toml` are installed into it by uv. The size of a package is the sum of the files that its record lists, as
installed from its wheel, without bytecode. What a dependency *adds* are the packages that no other dependency needs,
itself included: what the environment would lose without this one requirement.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement

PROJECT = Path(__file__).parents[1] / "pyproject.toml"
EXTRAS = ("langchain", "agents", "llamaindex", "minilm", "plot")


def main() -> None:
    project = tomllib.loads(PROJECT.read_text())["project"]
    core = wanted("", project)
    with tempfile.TemporaryDirectory() as folder:
        uv = with_uv(Path(folder) / "uv")
        installed = fresh(uv, Path(folder) / "core", core)
        total = size_of(installed.values())
        print(f"Python {sys.version.split()[0]}, {sys.platform}: core {total:.0f} MB in {len(installed)} packages\n")
        show(core, core, installed)
        for extra in EXTRAS:
            more = wanted(extra, project)
            larger = fresh(uv, Path(folder) / extra, [*core, *more])
            added = larger.keys() - installed.keys()
            size = size_of(larger[name] for name in added)
            print(f"\n[{extra}] adds {size:.0f} MB in {len(added)} packages to the core\n")
            show(more, [*core, *more], larger)


def wanted(extra: str, project: dict[str, object]) -> list[str]:
    """Return the requirements of the core, or of an extra; an extra that names another includes it."""
    if not extra:
        return list(project["dependencies"])
    listed = project["optional-dependencies"][extra]
    own = [text for text in listed if Requirement(text).name != project["name"]]
    others = [name for text in listed if Requirement(text).name == project["name"] for name in Requirement(text).extras]
    return [*(text for name in others for text in wanted(name, project)), *own]


def with_uv(folder: Path) -> Path:
    run(sys.executable, "-m", "venv", folder)
    run(folder / "bin/python", "-m", "pip", "install", "--quiet", "uv")
    return folder / "bin/uv"


def run(*command: str | Path) -> None:
    subprocess.run(command, check=True)  # noqa: S603 -- its words come from pyproject.toml and from here


def fresh(uv: Path, folder: Path, requirements: list[str]) -> dict[str, Distribution]:
    """Install requirements into a new virtual environment; return its packages by their plain names."""
    run(uv, "venv", "--quiet", "--python", sys.executable, folder)
    run(uv, "pip", "install", "--quiet", "--python", folder / "bin/python", *requirements)
    (site,) = folder.glob("lib/python*/site-packages")
    return {plain(found.name): found for found in distributions(path=[str(site)])}


def show(rows: list[str], everything: list[str], installed: dict[str, Distribution]) -> None:
    print("| dependency | itself, MB | adds, MB |\n|---|---|---|")
    for row in rows:
        others = reached([text for text in everything if text != row], installed)
        only = reached([row], installed) - others
        own = size_of([installed[plain(Requirement(row).name)]])
        print(f"| {Requirement(row).name} | {own:.1f} | {size_of(installed[name] for name in only):.1f} |")


def reached(requirements: Iterable[str], installed: dict[str, Distribution]) -> set[str]:
    """Return the packages that requirements need, directly or not."""
    found: set[tuple[str, str]] = set()
    waiting = [step for text in requirements for step in steps(text)]
    while waiting:
        name, extra = step = waiting.pop()
        # Where a marker leaves a package out on this platform, nothing was installed for it.
        if step in found or name not in installed:
            continue
        found.add(step)
        for text in installed[name].requires or ():
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                waiting += steps(text)
    return {name for name, _ in found}


def steps(text: str) -> Iterator[tuple[str, str]]:
    """Yield a requirement's package with no extra, and with each extra that the requirement names."""
    needed = Requirement(text)
    for extra in ("", *needed.extras):
        yield plain(needed.name), extra


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def size_of(packages: Iterable[Distribution]) -> float:
    files = (path.locate() for package in packages for path in package.files or () if path.suffix != ".pyc")
    return sum(Path(file).stat().st_size for file in files if Path(file).is_file()) / 1e6


if __name__ == "__main__":
    main()
