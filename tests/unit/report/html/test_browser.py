"""The page in headless Chromium: what a reader meets, at two widths and in two schemes."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright
from tests.unit.report.html.results import write

from sentinel_sim.experiment import salvage
from sentinel_sim.report.html.writing import write_report

PROGRAMS = ("chromium", "google-chrome", "chromium-browser")
SIZES: dict[str, ViewportSize] = {
    "desktop": {"width": 1440, "height": 900},
    "phone": {"width": 390, "height": 844},
}
BRIGHTNESS = "(one => one.match(/[0-9.]+/g).slice(0, 3).reduce((a, b) => +a + +b, 0) / 3)"
FIGURES = ["goodput", "steady", "latency", "startup", "exposure"]
FIGURES += ["lead", "phase", "prediction", "smoothing", "dispersion", "timeline", "agreement"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        reason = "no browser: apt-get install chromium"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    with sync_playwright() as playwright:
        # No sandbox: it cannot be had as root, and the page is ours.
        running = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = write(tmp_path_factory.mktemp("chile-usa"))
    return write_report(directory, salvage.read(directory))


class Visit:
    """A page opened, with everything it complained about and asked for."""

    def __init__(self, page: Page, report: Path) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda one: self.complaints.append(one.text))
        page.on("pageerror", lambda one: self.complaints.append(str(one)))
        page.on("request", lambda one: self.requests.append(one.url))
        page.goto(report.as_uri())
        expect(page.locator(".plot:not([data-drawn])")).to_have_count(0)
        self.report = report

    @property
    def asked_for(self) -> list[str]:
        """Whatever was requested besides the page itself."""
        own = (self.report.as_uri(), "data:", "blob:")
        return [url for url in self.requests if not url.startswith(own)]


@pytest.fixture(scope="module")
def opened(browser: Browser, report: Path) -> Iterator[Visit]:
    """The page, opened once: parsing it is what takes time."""
    with contextlib.closing(browser.new_context(viewport=SIZES["desktop"])) as context:
        yield Visit(context.new_page(), report)


@pytest.fixture
def visit(opened: Visit) -> Visit:
    """At the desktop's width."""
    opened.page.set_viewport_size(SIZES["desktop"])
    return opened


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", list(SIZES))
def test_the_page_draws_without_complaint_or_network(
    visit: Visit, name: str, scheme: Literal["light", "dark"]
) -> None:
    page = visit.page
    page.set_viewport_size(SIZES[name])
    page.emulate_media(color_scheme=scheme)
    # The figures follow the scheme of the page, also when it changes while the page is open.
    ink = page.evaluate("getComputedStyle(document.body).color")
    expect(page.locator("#goodput .xtick text").first).to_have_css("fill", ink)
    background = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(f"{BRIGHTNESS}({background}) > 128") == (scheme == "light")
    assert page.evaluate(f"{BRIGHTNESS}({json.dumps(ink)}) > 128") == (scheme == "dark")
    assert (visit.complaints, visit.asked_for) == ([], [])
    drawn = page.eval_on_selector_all(".plot:has(.main-svg)", "all => all.map(one => one.id)")
    assert drawn == FIGURES
    assert page.locator("#goodput .scatterlayer .trace").count() >= 6
    # The figures follow the width, too: a narrow one has smaller margins and letters.
    size = {"desktop": "13px", "phone": "11px"}[name]
    expect(page.locator("#goodput .xtick text").first).to_have_css("font-size", size)
    # Nothing sticks out: only tables scroll, within themselves.
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[name]["width"]


def test_every_number_of_the_verdict_table_is_that_of_the_result(visit: Visit) -> None:
    result = json.loads(visit.report.with_name("result.json").read_text())
    rows = visit.page.eval_on_selector_all(
        "#verdicts tr[data-claim]",
        """rows => rows.map(row => ({...row.dataset, ...row.querySelector('.figure').dataset,
             text: row.querySelector('.number').textContent,
             badge: row.querySelector('.badge').lastChild.textContent.trim()}))""",
    )
    assert len(rows) >= 8
    for row in rows:
        (said,) = [
            one
            for one in result["verdicts"]
            if (one["claim"], one["arm"] or "", one["part"], one["condition"])
            == (row["claim"], row["arm"], row["part"], row["condition"])
        ]
        assert json.loads(row["figure"]) == said["figure"]
        assert json.loads(row["ci"]) == said["ci"]
        assert (row["text"], row["badge"]) == (said["text"], said["verdict"])
        assert int(row["n"]) == said["n"]
    assert {row["claim"] for row in rows} >= {"throughput-constant", "local-confirm"}
    assert {row["badge"] for row in rows} == {"holds", "fails", "undecided"}


def test_the_question_the_verdicts_and_the_figure_are_on_the_first_screen(visit: Visit) -> None:
    for selector in ("h1", "#verdicts tr[data-arm=split]", "#goodput .xtitle"):
        box = visit.page.locator(selector).first.bounding_box()
        assert box is not None
        assert 0 <= box["y"] < SIZES["desktop"]["height"], selector


def test_no_tick_of_a_sweep_is_cut(visit: Visit) -> None:
    for figure in ("goodput", "steady", "latency", "phase", "prediction"):
        words = visit.page.locator(f"#{figure} .xtick text").all_text_contents()
        assert words == ["100", "1,000", "5,000", "10,000", "20,000"], figure


def test_hovering_tells_of_the_run(visit: Visit) -> None:
    mark = visit.page.locator("#goodput .scatterlayer .trace .points path").first
    mark.hover(force=True)
    words = visit.page.locator("#goodput .hovertext").first
    words.wait_for()
    assert "Mbit/s" in (words.text_content() or "")


def test_it_can_be_read_without_eyes_and_without_a_mouse(visit: Visit) -> None:
    page = visit.page
    for landmark in ("header", "nav", "main", "footer"):
        assert page.locator(f"body > {landmark}").count() == 1
    assert page.locator("table:not(:has(caption))").count() == 0
    assert page.locator("[role=img]:not([aria-label]):not([aria-labelledby])").count() == 0
    assert all(
        len(one) > 60
        for one in page.eval_on_selector_all(".plot", "all => all.map(o => o.ariaLabel)")
    )
    levels = page.eval_on_selector_all("h1, h2, h3", "all => all.map(one => +one.tagName[1])")
    assert levels[0] == 1
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels))
    ids = page.eval_on_selector_all("[id]", "all => all.map(one => one.id)")
    assert len(ids) == len(set(ids))
    links = page.eval_on_selector_all("a[href^='#']", "all => all.map(one => one.hash.slice(1))")
    assert set(links) <= set(ids)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"


def test_words_of_a_result_are_no_markup(visit: Visit) -> None:
    assert visit.page.locator("text=a note <script>alert(1)</script>").count() == 1
