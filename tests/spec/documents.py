"""The documents that models and schemas must judge alike: `corpus/good`, and `corpus/bad` with what is expected.

The first line of a bad document is `# expect: CODES`; `yaml` behind it says that it is no readable YAML of ours, and
`semantic` that a JSON Schema cannot know.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
GOLDEN = HERE / "golden"


class Bad(NamedTuple):
    name: str
    text: bytes
    codes: set[str]
    words: set[str]


def good() -> list[Path]:
    return sorted((HERE / "corpus" / "good").glob("*.yaml"))


def bad() -> list[Bad]:
    found = []
    for path in sorted((HERE / "corpus" / "bad").glob("*.yaml")):
        text = path.read_bytes()
        words = text.decode().splitlines()[0].removeprefix("# expect:").split()
        codes = {word for word in words if word.startswith("E")}
        found.append(Bad(path.stem, text, codes, set(words) - codes))
    return found
