"""How a shell's command line becomes a job: as argv where that says the same, else as a script; and its name."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from reconciler.spec.imports._documents import Document, Writer

_SIMPLE = re.compile(r"[A-Za-z0-9_@%+:,./-]+(?:[ \t]+[A-Za-z0-9_@%+=:,./-]+)*")
# What only a shell knows; the rest of its builtins (echo, test, ...) exist as programs too.
_SHELL_ONLY = frozenset(
    [".", ":", "cd", "command", "eval", "exec", "exit", "export", "set", "source", "trap", "ulimit", "umask", "wait"]
)
_KEYWORDS = frozenset(["if", "for", "while", "until", "case", "{", "(", "!", "then", "do", "else"])
_WRAPPERS = frozenset(
    ["chronic", "chrt", "env", "exec", "flock", "ionice", "nice", "nohup", "setsid", "sudo", "time", "timeout"]
)
_PREPARING = frozenset([".", "[", "[[", "cd", "command", "echo", "exit", "sleep", "test", "true"])
_INTERPRETERS = re.compile(r"(?:ba|da|z|k)?sh|python[0-9.]*|perl|ruby|php[0-9.]*|node|java|busybox")
_EXTENSION = re.compile(r"\.(?:sh|py|pl|rb|php|js|bash|cron)$")


def command_fields(text: str, *, shell: str = "/bin/sh") -> dict[str, Any]:
    """The fields of Job.spec that do what `SHELL -c text` does: `command`, or `script` with that shell.

    Our default shell stops at the first failing command; a shell that others started did not, so it is named.
    """
    words = text.split()
    if shell == "/bin/sh" and _SIMPLE.fullmatch(text) and words[0] not in _SHELL_ONLY | _KEYWORDS:
        return {"command": words}
    return {"script": text.rstrip("\n") + "\n", "shell": [shell]}


def unknown_command(what: str, job: Document, writer: Writer) -> dict[str, Any]:
    """The fields of a job whose command only a person can write: it keeps its schedule, and fails until then."""
    writer.remark(f"what it ran is not known here ({what}): write its `command`; until then it fails", job)
    return {"script": f"echo {shlex.quote(f'::error::write the command of this job: {what}')}\nexit 1\n"}


def program_name(text: str) -> str:
    """What a person would call the command: the program that does the work, not what prepares it."""
    try:
        lexer = shlex.shlex(text.replace("\n", " ; "), posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        tokens = list(lexer)
    except ValueError:
        tokens = text.split()
    commands: list[list[str]] = [[]]
    for token in tokens:
        if token and set(token) <= set("();<>|&"):
            if token[0] not in "<>":
                commands.append([])
        else:
            commands[-1].append(token)
    names = [name for words in commands if (name := _of_words(words))]
    # `cd X && do-it` and `test -x do-it && do-it` are about do-it.
    worth = [name for name in names if name not in _PREPARING]
    return (worth or names or ["job"])[0]


def _of_words(words: Sequence[str]) -> str:
    place = 0
    while place < len(words):
        word = words[place]
        base = PurePosixPath(word).name or word
        if base in _KEYWORDS or re.match(r"[A-Za-z_][A-Za-z0-9_]*=", word):
            place += 1
        elif base in _WRAPPERS or (_INTERPRETERS.fullmatch(base) and place + 1 < len(words)):
            place = _after_options(words, place + 1, base)
        elif base == "run-parts":
            return PurePosixPath(words[-1]).name.replace(".", "-")
        else:
            return _EXTENSION.sub("", base)
    return ""


def _after_options(words: Sequence[str], place: int, wrapper: str) -> int:
    """Where the wrapped command begins: behind options, their numbers, and flock's file."""
    while place < len(words) and re.fullmatch(r"-.*|[0-9.]+[smhd]?", words[place], re.DOTALL):
        if words[place] in ("-c", "-e"):
            return len(words)  # what follows is a program's text, and no name
        place += 2 if words[place] in ("-u", "-g", "-m", "-jar") else 1
    if wrapper == "flock":
        place += 1
        while place < len(words) and words[place].startswith("-"):
            place += 1
    return place
