"""The commands of a systemd service as a job's command or script."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reconciler.spec.imports._units import Value, expand, words

_VARIABLE = re.compile(r"\$\$|\$\{(\w+)\}", re.ASCII)
_WHOLE_VARIABLE = re.compile(r"\$(\w+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Command:
    words: tuple[str, ...]
    may_fail: bool
    substitutes: bool
    """Whether `$` means a variable."""


def read_commands(values: Sequence[Value], unit: str) -> tuple[list[Command], list[str]]:
    """The commands of `Exec...=` lines, and what of their prefixes and specifiers is lost."""
    commands: list[Command] = []
    lost: list[str] = []
    for value in values:
        # Specifiers are put in word by word: an empty one leaves an empty word.
        expanded = [expand(word, unit) for word in words(value.text)]
        lost += [f"{name} is not known here, and was left as it is" for _, names in expanded for name in names]
        for line in _split([word for word, _ in expanded]):
            bare = line[0].lstrip("@-:+!|")
            prefixes = line[0][: len(line[0]) - len(bare)]
            rest = list(line[1:])
            if "@" in prefixes and rest:
                lost.append(f"the name `{rest.pop(0)}` that {bare} was to see as its own")
            if set(prefixes) & set("+!"):
                lost.append(f"`{prefixes}` ran {bare} with more rights than User= has; here it runs as `user`")
            if bare:
                commands.append(Command((bare, *rest), "-" in prefixes, ":" not in prefixes))
    return commands, lost


def command_fields(commands: Sequence[Command], environment: Mapping[str, str]) -> dict[str, Any]:
    """The fields of Job.spec that run the commands one after the other, up to the first that fails."""
    if len(commands) == 1 and not commands[0].may_fail:
        argv = _argv(commands[0], environment)
        if argv is not None:
            return {"command": argv}
    lines = [_line(command) for command in commands]
    if any(command.substitutes and _WHOLE_VARIABLE.fullmatch(word) for command in commands for word in command.words):
        lines.insert(0, "set -f  # systemd splits variables into words, but knows no patterns")
    return {"script": "\n".join(lines) + "\n"}


def _split(all_words: Sequence[str]) -> list[list[str]]:
    """A `;` that stands alone separates commands."""
    lines: list[list[str]] = [[]]
    for word in all_words:
        if word == ";":
            lines.append([])
        else:
            lines[-1].append(word)
    return [line for line in lines if line]


def _argv(command: Command, environment: Mapping[str, str]) -> list[str] | None:
    """The words with `$(NAME)` for `${NAME}`; None where only a shell can do what systemd does."""
    argv: list[str] = []
    for word in command.words:
        literal = word.replace("$(", "$$(")
        if command.substitutes:
            names = [name for name in _VARIABLE.findall(word) if name]
            if _WHOLE_VARIABLE.fullmatch(word) or any(name not in environment for name in names):
                return None
            literal = _VARIABLE.sub(lambda match: f"$({match[1]})" if match[1] else "$", literal)
        argv.append(literal)
    return argv


def _line(command: Command) -> str:
    quoted = [_shell_word(word) if command.substitutes else shlex.quote(word) for word in command.words]
    return " ".join(quoted) + (" || true" if command.may_fail else "")


def _shell_word(word: str) -> str:
    """A word for the shell; systemd takes a variable that is not set for an empty one."""
    if match := _WHOLE_VARIABLE.fullmatch(word):
        return f"${{{match[1]}-}}"
    parts: list[str] = []
    at = 0
    for match in _VARIABLE.finditer(word):
        parts += [word[at : match.start()], f"${{{match[1]}-}}" if match[1] else "$"]
        at = match.end()
    parts.append(word[at:])
    if len(parts) == 1:
        return shlex.quote(word)
    return "".join(f'"{part}"' if part.startswith("${") else shlex.quote(part) for part in parts if part)
