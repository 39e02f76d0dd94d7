"""Build: the README, with links that also work on PyPI, is the description of the package."""

import configparser
import re
from pathlib import Path

from setuptools import setup

PROJECT = Path(__file__).resolve().parent


def description() -> str:
    """Return the README with absolute links: pages of the repository, and the bytes of its pictures."""
    settings = configparser.ConfigParser()
    settings.read(PROJECT / "setup.cfg", encoding="utf-8")
    repository = settings["metadata"]["url"]
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    text = re.sub(r"!\[([^]]*)\]\((?!https?:)", rf"![\1]({repository}/raw/main/", text)
    return re.sub(r"\]\((?!https?:|#)", f"]({repository}/blob/main/", text)


if __name__ == "__main__":
    setup(long_description=description(), long_description_content_type="text/markdown")
