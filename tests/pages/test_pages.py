"""Every Python block of the README and of the pages in `docs/` runs, in its page's order, with real clients.

The clients are sent to a server on this machine, and the folder is an empty one, so pages show what users would write.
"""

import re
import signal
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from llama_index.core import MockEmbedding
from llama_index.core import Settings as LlamaSettings

from langchain_tiers import TieredChatModel
from llamaindex_tiers import TieredLLM
from llm_tiers.policies.settings import Aim, Measured, Settings, text_of
from llm_tiers.testing import LoopbackServer, obliging

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
MODELS = ("gpt-5-nano", "gpt-5-mini", "gpt-5")
SOME = Measured(mean=0.9, low=0.8, high=1.0)
CALIBRATED = Settings(
    policy="default", knob=0.6, tiers=MODELS, aim=Aim(kind="accuracy", value=0.9), right_means="same as gpt-5",
    accuracy=SOME, usd_per_1000_calls=SOME, n=400, sources=("tiers",), date="2026-11-28", version="0.1.0",
)  # fmt: skip


def blocks(page):
    """Return the blocks of a page, each moved down to its own line so that errors name it."""
    text = page.read_text()
    found = re.finditer(r"^( *)```python\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    return [
        "\n" * text.count("\n", 0, match.start(2)) + re.sub(rf"^{match[1]}", "", match[2], flags=re.MULTILINE)
        for match in found
    ]


@pytest.fixture
def outside(monkeypatch, tmp_path):
    """A working folder with what `llm-tiers calibrate` leaves there, and OpenAI's servers in this process."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiers.json").write_text(text_of(CALIBRATED))
    # Pages set LlamaIndex's global LLM, as users do; tests after them have none.
    monkeypatch.setattr(LlamaSettings, "_llm", None)
    # The server serves no vectors of texts, which indices ask of OpenAI by default.
    monkeypatch.setattr(LlamaSettings, "_embed_model", MockEmbedding(embed_dim=8))
    # Pages say how a program without a web server ends on SIGTERM; this one ends as before.
    before = signal.getsignal(signal.SIGTERM)
    with LoopbackServer(dict.fromkeys(MODELS, obliging)) as server:
        for name in ("OPENAI_BASE_URL", "OPENAI_API_BASE"):
            monkeypatch.setenv(name, server.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", "unused")
        yield server
    signal.signal(signal.SIGTERM, before)


# LlamaIndex looks through all members of an agent for its steps, those that pydantic warns of included.
@pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning")
@pytest.mark.usefixtures("outside")
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.stem)
def test_the_blocks_of_a_page_run(page):
    names = {"__name__": "__main__"}
    try:
        for source in blocks(page):
            exec(compile(source, str(page), "exec"), names)  # noqa: S102 -- the page's own code is what is tested
    finally:
        for value in list(names.values()):
            if isinstance(value, TieredChatModel | TieredLLM):
                value.close()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_to_other_sites_are_well_formed(page):
    # Nothing is asked of a network here, so whether they lead somewhere is not known.
    for target in re.findall(r"\]\((\w+:[^)]*)\)", page.read_text()):
        parts = urlsplit(target)
        assert parts.scheme == "https", target
        assert re.fullmatch(r"(?:[\w-]+\.)+[a-z]{2,}", parts.netloc), target
        assert re.fullmatch(r"[\w./%#~+-]*", parts.path), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_between_pages_lead_somewhere(page):
    targets = re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", page.read_text())
    for target in targets:
        path, _, anchor = target.partition("#")
        there = page if not path else (page.parent / path).resolve()
        assert there.exists(), f"{page.name} links to {target}"
        if anchor and there.suffix == ".md":
            assert anchor in anchors(there), f"{page.name} links to {target}"


def anchors(page):
    """Return the anchors of a page's headings, as GitHub and mkdocs make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower()).strip().replace(" ", "-") for heading in headings}


def test_the_readme_is_one_screen_and_leads_to_every_page():
    readme = (ROOT / "README.md").read_text()
    assert readme.count("\n") <= 150
    # The site's API pages have nothing to read before they are built.
    pages = {str(page.relative_to(ROOT)) for page in PAGES[1:] if page.parent.name != "api"}
    assert sorted(pages - set(re.findall(r"\]\((docs/[^)#]*)", readme))) == []
