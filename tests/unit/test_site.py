"""The site that mkdocs makes of docs/: it asks no other host for anything, and a wrong link fails its build."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.training import ROOT

PARTS = ("mkdocs.yml", "docs", "conf", "widedeep", "scripts", "examples", "notebooks")
FILES = ("Dockerfile", "README.md", "CHANGELOG.md", "CONTRIBUTING.md")


def build(checkout: Path, site: Path) -> subprocess.CompletedProcess:
    """Build a checkout's site as scripts/test.sh does."""
    argv = [Path(sys.executable).with_name("mkdocs"), "build", "--strict", "--site-dir", site]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(argv, cwd=checkout, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = build(ROOT, folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_is_there_and_every_block_of_code_was_understood(site):
    pages = {file.stem for file in (ROOT / "docs").glob("*.md")}
    assert {file.stem for file in site.glob("*.html")} - {"404"} == pages
    for page in pages:
        article = (site / f"{page}.html").read_text().split("<article")[1].split("</article")[0]
        assert "```" not in article, page
        assert not re.search(r"<p>[^<]*\n(- |\| )", article), f"{page}: a list or a table became text"


def test_what_a_page_loads_is_in_the_site(site):
    """Fonts, scripts, styles and pictures; links that a reader follows may lead elsewhere."""
    loaded = re.compile(r"<(?:script|img|iframe)\b[^>]*?\bsrc=\"?([^\" >]+)|<link\b[^>]*?\bhref=\"?([^\" >]+)")
    seen = set()
    for page in site.glob("*.html"):
        for source, style in loaded.findall(page.read_text()):
            seen.add(source or style)
    assert len(seen) > 5
    seen = {address for address in seen if not address.startswith("data:")}
    assert [address for address in seen if "//" in address] == []
    missing = [address for address in seen if not (site / address.lstrip("/")).exists() and address != "."]
    assert missing == []
    styles = "".join(file.read_text() for file in site.rglob("*.css"))
    assert re.findall(r"(?:url\(|@import )[\"']?(https?:[^)\"']+)", styles) == []


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("](settings.md#train)", "](settings.md#trian)", "does not contain an anchor '#trian'"),
        ("](cluster.md#spark-on-a-cluster)", "](clusters.md)", "contains a link 'clusters.md'"),
        ("](../examples/slurm/train.sbatch)", "](../examples/slurm/train)", "links ../examples/slurm/train, which"),
    ],
)
def test_a_wrong_link_fails_the_build(right, wrong, said, tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in (*PARTS, *FILES):
        (copy / name).symlink_to(ROOT / name)
    (copy / "docs").unlink()
    shutil.copytree(ROOT / "docs", copy / "docs")
    page = copy / "docs/slurm.md"
    text = page.read_text()
    assert right in text
    page.write_text(text.replace(right, wrong))
    done = build(copy, tmp_path / "site")
    assert done.returncode != 0
    assert said in done.stderr
