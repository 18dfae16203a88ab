"""The documentation builds without a warning, and its links and README's lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")


class Fetched(HTMLParser):
    """Everything that a browser would fetch with the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        name = {"link": "href", "script": "src", "img": "src", "iframe": "src"}.get(tag, "")
        fetched = tag != "link" or given.get("rel") in ("stylesheet", "icon", "preload")
        if fetched and (address := given.get(name)):
            self.addresses.append(address)


def test_every_link_of_readme_leads_to_a_file() -> None:
    links = LINK.findall((ROOT / "README.md").read_text())
    local = [one for one in links if not one.startswith("https:")]
    assert len(local) > 10
    assert [one for one in local if not (ROOT / one).is_file()] == []


def test_the_site_builds_without_a_warning_and_has_the_reference_in_it() -> None:
    pytest.importorskip("mkdocs", reason="an older virtual environment: make setup")
    build = subprocess.run(
        (sys.executable, str(ROOT / "scripts/docs.py"), "--stripped"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert build.returncode == 0, build.stdout + build.stderr
    assert "WARNING" not in build.stdout + build.stderr
    site = ROOT / "build" / "site"
    evidence = (site / "api/evidence.html").read_text()
    for name in ("statistics.constant", "burstiness.dispersion", "smoothing.judge"):
        assert f'id="sentinel_sim.evidence.{name}"' in evidence
    python = (site / "api/index.html").read_text()
    assert 'id="sentinel_sim.api.result.Result' in python
    assert 'id="sentinel_sim.api.running.run"' in python
    # Read without a network as well as built without one.
    pages = [site / "index.html", *(site / "api").glob("*.html")]
    fetched = [one for page in pages for one in Fetched(page.read_text()).addresses]
    assert len(fetched) > len(pages)
    assert [one for one in fetched if one.startswith(("http:", "https:", "//"))] == []
