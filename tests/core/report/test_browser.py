"""The page in a real browser: on a phone, in the dark, by keyboard, on paper, without a network."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from seen_calls import call, traffic

from llm_tiers.report import Promised, page_of, report_of

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
pytest.importorskip("playwright", reason="the package playwright is not installed")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed (Debian: apt-get install chromium)")

DESKTOP, PHONE = (1280, 900), (360, 740)


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # A sandbox needs rights that containers lack; the page is our own.
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    long = [call(1_000 + n, "small", node="a/very/long/name/of/a/node/that/does/not/break" * 2) for n in range(5)]
    found = tmp_path_factory.mktemp("report") / "report.html"
    found.write_text(
        page_of(report_of([*traffic(300), *long], where="./tiers", promised=Promised(0.2))), encoding="utf-8"
    )
    return found


@pytest.fixture
def opened(browser, path):
    @contextmanager
    def open_page(size=DESKTOP, **other) -> Iterator[object]:
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **other)
        page = context.new_page()
        said, asked = [], []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        yield page
        assert said == []
        assert asked == [path.as_uri()]
        context.close()

    return open_page


def background(page):
    return page.evaluate("getComputedStyle(document.body).backgroundColor")


def brightness(colour):
    return sum(int(part) for part in colour[4:-1].split(",")) / 3


@pytest.mark.parametrize("size", [DESKTOP, PHONE, (820, 1180)])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_overflows_and_nothing_is_asked_of_a_network(opened, size, scheme):
    with opened(size, color_scheme=scheme) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        assert page.locator("h1").inner_text().startswith("Saved")
        assert all(box["width"] > 100 for box in (one.bounding_box() for one in page.locator(".plot-frame").all()))


def test_it_is_dark_in_the_dark(opened):
    with opened(color_scheme="dark") as page:
        assert brightness(background(page)) < 40
        assert brightness(page.evaluate("getComputedStyle(document.querySelector('h1')).color")) > 200
    with opened(color_scheme="light") as page:
        assert brightness(background(page)) > 240


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_have_the_contrast_that_wcag_asks_for(opened, scheme):
    ratio = """() => {
      const of = c => { const [r, g, b] = c.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255)
        .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
      const below = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
        if (!c.endsWith(', 0)')) return c; } return 'rgb(255, 255, 255)'; };
      const texts = 'p, th, td, dt, dd *, h1, h2, h3, a, summary, figcaption, li, .point span';
      return [...document.querySelectorAll(texts)]
        .map(e => { const two = [of(getComputedStyle(e).color), of(below(e.closest('.plane') || e))];
          const [a, b] = two.sort((x, y) => y - x);
          return [(a + 0.05) / (b + 0.05), e.className, e.textContent.slice(0, 40)]; })
        .sort((x, y) => x[0] - y[0])[0]; }"""
    with opened(color_scheme=scheme) as page:
        worst = page.evaluate(ratio)
        # Large and bold, as "You are here" is, needs 3; all other text 4.5.
        least = 3.0 if worst[2] == "You are here" else 4.5
        assert worst[0] >= least, worst


def test_the_keyboard_reaches_the_figures(opened):
    with opened() as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "To the figures"
        page.keyboard.press("Enter")
        assert page.url.endswith("#main")
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.tagName") == "SUMMARY":
                break
        table = page.locator("details").first.locator("table")
        assert not table.is_visible()
        page.keyboard.press("Enter")
        assert table.is_visible()


def test_screen_readers_get_headings_tables_and_regions_but_no_drawings(opened):
    with opened() as page:
        assert page.get_by_role("heading", level=1).count() == 1
        assert page.get_by_role("heading", level=2).count() == page.locator("section").count()
        assert page.get_by_role("navigation", name="Sections").count() == 1
        assert page.get_by_role("main").count() == 1
        table = page.get_by_role("table", name="Nodes")
        assert table.get_by_role("row").count() == 4
        assert "medium: " in table.inner_text()
        assert page.get_by_role("figure").count() == page.locator("figure").count()


def test_on_paper_the_tables_are_open_and_the_links_are_gone(opened):
    with opened() as page:
        page.emulate_media(media="print")
        assert not page.locator("nav").is_visible()
        assert page.locator("details table").first.is_visible()
        assert page.pdf()[:4] == b"%PDF"


def test_less_motion_is_given_where_it_is_asked_for(opened):
    with opened(reduced_motion="reduce") as page:
        assert page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"
