"""Loading very many files: shared among the processors, for reading and checking documents is all computing.

A helper is a process that takes a share from its standard input and answers with the valid objects. A file in which
something is wrong is only named; it is loaded again here, where its folder can be seen and the words are found. So a
helper that fails costs time and nothing else.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

if __name__ == "__main__":
    # Isolated from wherever it was started, the helper knows only where this file stands.
    sys.path.insert(0, str(Path(__file__).parents[2]))

from reconciler.spec.load import ReadBeside, load_file
from reconciler.spec.objects import LoadedFile, SpecObject

MANY: Final = 1000
"""A helper takes a third of a second to begin, the work of so many files."""
MOST_HELPERS: Final = 7
HELPER: Final = (sys.executable, "-I", __file__)


class File(NamedTuple):
    path: str
    content: bytes
    area: str | None


def load_all(
    files: Sequence[File],
    beside: Callable[[str], ReadBeside],
    processors: int | None = None,
    helper: Sequence[str] = HELPER,
) -> Iterator[LoadedFile]:
    """Load files in their order. `beside` gives for a path the reader of the files beside it.

    `processors` is how many may work (default: all that this process may use), `helper` the command of one.
    """
    count = processors or len(os.sched_getaffinity(0))
    helpers = min(count - 1, MOST_HELPERS) if len(files) >= MANY else 0
    size = -(-len(files) // (helpers + 1))
    shares = [_Share(files[size * number : size * (number + 1)], helper) for number in range(1, helpers + 1)]
    for file in files[:size]:
        yield load_file(*file, read_beside=beside(file.path))
    for share in shares:
        for file, found in zip(share.files, share.result(), strict=True):
            if found is None:
                yield load_file(*file, read_beside=beside(file.path))
            else:
                yield LoadedFile(file.path, tuple(found))


class _Share:
    """The files of one helper, which works on them from now on."""

    def __init__(self, files: Sequence[File], helper: Sequence[str]) -> None:
        self.files, self._helper = files, helper
        self._answer = b""
        self._thread = threading.Thread(target=self._ask, name="helper", daemon=True)
        self._thread.start()

    def _ask(self) -> None:
        try:
            done = subprocess.run(
                self._helper,
                input=json.dumps([(path, data.decode("latin-1"), area) for path, data, area in self.files]).encode(),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                check=True,
            )
        except (OSError, subprocess.CalledProcessError):
            return
        self._answer = done.stdout

    def result(self) -> Sequence[Sequence[SpecObject] | None]:
        """For each file its objects, or None when it has to be loaded here."""
        self._thread.join()
        answer: list[list[Sequence[Any]] | None] = json.loads(self._answer) if self._answer else []
        if len(answer) != len(self.files):
            return [None] * len(self.files)
        return [None if found is None else [_object(*each) for each in found] for found in answer]


def _object(kind: str, domain: str, name: str, path: str, line: int, digest: str, text: str) -> SpecObject:
    return SpecObject(kind, domain, name, path, line, digest, text.encode("ascii"))


def _fields(loaded: LoadedFile) -> list[Sequence[Any]] | None:
    if loaded.diagnostics:
        return None
    return [
        (each.kind, each.domain, each.name, each.path, each.line, each.digest, each.text.decode("ascii"))
        for each in loaded.objects
    ]


def main() -> None:
    """Be a helper: load the share that stands on standard input."""
    share = json.loads(sys.stdin.buffer.read())
    found = [_fields(load_file(path, text.encode("latin-1"), area)) for path, text, area in share]
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
