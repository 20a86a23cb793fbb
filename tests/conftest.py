"""What several test modules share: one browser, the page that an explorer stands on in it, and one thread of torch."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from redlib.evidence import instructions

instructions.fix()  # before anything imports torch: as a notebook's process is started
# The suite has a process a core, and threads of several processes on one core wait for each other by spinning: tests of
# small nets then take thirty times as long. A test that is about threads asks for more of them.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # for those, and for notebooks: they get as many as cores

from redlib.report.policy import content_policy  # noqa: E402

CHROMIUM = Path("/usr/bin/chromium")
TEMPLATES = Path(__file__).parents[1] / "redlib" / "report" / "templates"
LONGEST = (  # files that take minutes, the longest first
    "test_smoke.py",
    "test_browser.py",
    "test_smoke_on_fresh_seeds.py",
    "test_reproduce.py",
    "test_confirm.py",
    "test_new_study.py",
    "test_contract.py",
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let long files begin first: one that begins last runs on when the other processes have nothing left to do."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Seed torch before a test and its fixtures: nets that a test builds are the same in whatever order tests run."""
    if torch := sys.modules.get("torch"):
        torch.manual_seed(1000)


def _on_one_thread() -> Iterator[None]:
    """Give torch one thread: more gain nothing on small nets, and the last bits of a module depend on their number."""
    import torch  # slow to import, and many tests need none

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


one_thread = pytest.fixture(name="one_thread")(_on_one_thread)  # anew for each test
one_thread_throughout = pytest.fixture(name="one_thread_throughout", scope="module")(_on_one_thread)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Return Debian's chromium, driven by Playwright; a second driver beside it would refuse to start."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make env")
    if not CHROMIUM.exists():
        pytest.skip(f"no {CHROMIUM}: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        chromium = driver.chromium.launch(executable_path=str(CHROMIUM), args=arguments)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, explorer: str) -> Path:
    """Return a page that holds nothing but the module's `explorer`, under the styles and the policy of a report."""
    scripts = re.findall(r"<script>(.*?)</script>", explorer, re.DOTALL)
    policy = f'<meta http-equiv="Content-Security-Policy" content="{content_policy(scripts)}">'
    style, dark = ((TEMPLATES / f"{name}.css").read_text(encoding="utf-8") for name in ("style", "dark"))
    theme = f"{style} @media screen and (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}"
    theme += f'@media screen {{ :root[data-theme="dark"] {{ {dark} }} }}'
    where = tmp_path_factory.mktemp("explorer") / "explorer.html"
    where.write_text(
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">{policy}<style>{theme}</style></head>'
        f'<body><main class="page"><figure class="explorable">{explorer}</figure></main></body></html>',
        encoding="utf-8",
    )
    return where


@pytest.fixture
def visit(browser: Any, page: Path) -> Iterator[Callable[..., Any]]:
    """Return a function that opens `page` offline; at the end no error and no request may have been seen."""
    contexts, troubles = [], []

    def opened(width: int = 1400, **options: Any) -> Any:
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, **options))
        contexts[-1].set_offline(True)
        tab = contexts[-1].new_page()
        tab.on("console", lambda line: line.type in ("error", "warning") and troubles.append(line.text))
        tab.on("pageerror", lambda error: troubles.append(str(error)))
        tab.on("request", lambda request: request.url.startswith("file:") or troubles.append(request.url))
        tab.goto(page.as_uri())
        return tab

    yield opened
    for context in contexts:
        context.close()
    assert troubles == []
