"""A real Chromium, and the server that it looks at."""

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.serving import Outputs, make_outputs
from tests.training import ROOT

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PATIENCE = 60_000  # milliseconds: the machine may be busy


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if not CHROMIUM:
        pytest.skip("there is no Chromium: scripts/setup.sh --dev installs it where apt-get may be used")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextlib.contextmanager
def serving(outputs: Outputs, *settings: str) -> Iterator[str]:
    """Run scripts/serve.sh on any free port; give its address."""
    config = outputs.config
    argv = ["--run-dir", config.run_dir, "--data", config.data, "--recommendations", config.recommendations]
    command = [str(ROOT / "scripts/serve.sh"), *map(str, argv), "--port", "0", *settings]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        assert server.stderr
        said = []
        for line in server.stderr:
            said.append(line)
            if found := re.search(r"the page is (http://[\w.:]+)", line):
                break
        else:
            pytest.fail("".join(said))
        yield found[1]
    finally:
        server.terminate()
        assert server.wait(30) == 0


@pytest.fixture(scope="session")
def outputs(tmp_path_factory) -> Outputs:
    return make_outputs(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="session")
def address(outputs) -> Iterator[str]:
    with serving(outputs, "--hide", "age_rating=age_rating 1") as address:
        yield address


class Visit:
    """A visit of a page by somebody who was never there; it notes requests to other hosts, and errors."""

    def __init__(self, context: BrowserContext):
        self.page: Page = context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.requests: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))

    def elsewhere(self, address: str) -> list[str]:
        return [url for url in self.requests if not url.startswith((f"{address}/", "file:", "data:", "blob:"))]


@pytest.fixture
def visit(browser):
    """Returns a function that begins a visit, with the options of a browser context such as `viewport`."""
    contexts = []

    def begin(**options) -> Visit:
        contexts.append(browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | options))
        return Visit(contexts[-1])

    yield begin
    for context in contexts:
        context.close()


def save_screenshot(page: Page, name: str) -> None:
    """Keep a picture of a page where WIDEDEEP_SCREENSHOTS says, for people to look at."""
    if directory := os.environ.get("WIDEDEEP_SCREENSHOTS"):
        Path(directory).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=f"{directory}/{name}.png")
