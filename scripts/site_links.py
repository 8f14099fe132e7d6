"""A hook of mkdocs.yml: what pages link outside of docs/, such as ../conf, the site links in the repository."""

import re
from pathlib import Path
from typing import Any


def on_page_markdown(markdown: str, *, config: Any, **_: Any) -> str:
    """Return a page whose links to the checkout lead to the repository.

    Raises:
        FileNotFoundError: the checkout has no such file.

    """

    def in_repository(link: re.Match[str]) -> str:
        path = link[1]
        if not (Path(config.config_file_path).parent / path).exists():
            raise FileNotFoundError(f"a page links ../{path}, which does not exist")
        return f"]({config.extra['repository']}{path})"

    return re.sub(r"\]\(\.\./([^)\s]+)\)", in_repository, markdown)
