"""The page in headless Chromium: what a reader meets, at two widths and in two schemes."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, sync_playwright
from tests.unit.report.html.results import write

from sentinel_sim.experiment import salvage
from sentinel_sim.report.html.writing import write_report

PROGRAMS = ("chromium", "google-chrome", "chromium-browser")
DRAWN = "[...document.querySelectorAll('.plot')].every(one => one.dataset.drawn)"
DESKTOP, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
FIGURES = ["goodput", "steady", "latency", "startup", "exposure"]


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
        page.wait_for_function(DRAWN)
        self.report = report

    @property
    def asked_for(self) -> list[str]:
        """Whatever was requested besides the page itself."""
        own = (self.report.as_uri(), "data:", "blob:")
        return [url for url in self.requests if not url.startswith(own)]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_page_draws_without_complaint_or_network(
    browser: Browser, report: Path, size: Any, scheme: Any, tmp_path: Path  # noqa: ANN401
) -> None:
    with browser.new_context(viewport=size, color_scheme=scheme) as context:
        refused: list[str] = []

        def refuse(route: Route) -> None:
            refused.append(route.request.url)
            route.abort()

        context.route("http*://**", refuse)
        visit = Visit(context.new_page(), report)
        page = visit.page
        assert (visit.complaints, visit.asked_for, refused) == ([], [], [])
        drawn = page.eval_on_selector_all(".plot:has(.main-svg)", "all => all.map(one => one.id)")
        assert drawn == FIGURES
        marks = page.locator("#goodput .scatterlayer .trace")
        assert marks.count() >= 6
        # Nothing sticks out: only tables scroll, within themselves.
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        brightness = sum(int(one) for one in background[4:-1].split(",")) / 3
        assert (brightness > 128) == (scheme == "light")
        tick = page.locator("#goodput .xtick text").first
        ink = tick.evaluate("one => getComputedStyle(one).fill")
        assert (sum(int(one) for one in ink[4:-1].split(",")) / 3 > 128) == (scheme == "dark")


@pytest.fixture(scope="module")
def visit(browser: Browser, report: Path) -> Iterator[Visit]:
    with browser.new_context(viewport=DESKTOP, color_scheme="light") as context:
        yield Visit(context.new_page(), report)


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
        assert 0 <= box["y"] < DESKTOP["height"], selector


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
    assert all(b - a <= 1 for a, b in zip(levels, levels[1:], strict=False))
    ids = page.eval_on_selector_all("[id]", "all => all.map(one => one.id)")
    assert len(ids) == len(set(ids))
    links = page.eval_on_selector_all("a[href^='#']", "all => all.map(one => one.hash.slice(1))")
    assert set(links) <= set(ids)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"


def test_words_of_a_result_are_no_markup(visit: Visit) -> None:
    assert visit.page.locator("text=a note <script>alert(1)</script>").count() == 1
