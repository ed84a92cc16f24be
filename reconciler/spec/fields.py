"""The types of fields: what each accepts, the message when it does not, and its form in the JSON Schemas."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from reconciler.core.units import parse_duration, parse_size
from reconciler.spec.substitution import is_variable

MAX_DURATION_SECONDS: Final = 100 * 366 * 86400.0


def bad(code: str, message: str, help: str = "", at: tuple[str | int, ...] = ()) -> PydanticCustomError:
    """Make the error that a validator raises: code, message, help, and where below the validated value."""
    context = {"message": message, "help": help, "at": list(at)}
    return PydanticCustomError(code, "{message}", context)


def field_title(name: str, _: Any) -> str:
    """`startingDeadline` is titled "Starting deadline"."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", to_camel(name.rstrip("_"))).lower()
    return words[:1].upper() + words[1:]


class Model(BaseModel):
    """A mapping of a document: strict, no unknown fields, camelCase names."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        alias_generator=lambda name: to_camel(name.rstrip("_")),
        field_title_generator=field_title,
        defer_build=True,
        hide_input_in_errors=True,
    )


def item(description: str, *examples: Any, default: Any = None, **rules: Any) -> Any:
    """Declare a field that may be left out."""
    return Field(default, description=description, examples=list(examples) or None, **rules)


def needed(description: str, *examples: Any, **rules: Any) -> Any:
    """Declare a field that must be given."""
    return Field(description=description, examples=list(examples) or None, **rules)


def _text(pattern: str, check: Callable[[str], str], **schema: Any) -> tuple[Any, ...]:
    """The parts of a checked text type: the schema's pattern says the same as far as a pattern can."""
    return (AfterValidator(check), Field(json_schema_extra={"pattern": pattern, **schema}))


# --- names -----------------------------------------------------------------------------------------------------

NAME_PATTERN: Final = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
_NAME: Final = re.compile(NAME_PATTERN[1:-1], re.ASCII)
_LABEL_PATTERN: Final = r"^([A-Za-z0-9]([-A-Za-z0-9._]*[A-Za-z0-9])?)?$"
_LABEL: Final = re.compile(_LABEL_PATTERN[1:-1], re.ASCII)
_LABEL_KEY_PATTERN: Final = r"^[A-Za-z0-9]([-A-Za-z0-9._/]*[A-Za-z0-9])?$"
_LABEL_KEY: Final = re.compile(_LABEL_KEY_PATTERN[1:-1], re.ASCII)
_SECRET_PATTERN: Final = r"^[A-Za-z0-9_][-A-Za-z0-9._@]*$"  # noqa: S105
_SECRET: Final = re.compile(_SECRET_PATTERN[1:-1], re.ASCII)


def check_name(name: str, limit: int = 63) -> str:
    """Check the name of an object."""
    if _NAME.fullmatch(name) and len(name) <= limit:
        return name
    if len(name) > limit:
        raise bad("E113", f"the name has {len(name)} characters; at most {limit} are possible")
    help = "lower-case letters, digits, `-` and `.`, beginning and ending with a letter or digit"
    if not name.isascii():
        try:
            help = f"write it in its ASCII form: `{name.lower().encode('idna').decode('ascii')}`"
        except UnicodeError:
            pass
    elif near := re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-."):
        help = f"write `{near[:limit]}`; a name has {help}"
    raise bad("E113", f"`{name}` cannot be a name" if name else "the name is empty", help)


def _check_domain_name(name: str) -> str:
    return check_name(name, 253)


def _check_label(value: str) -> str:
    if len(value) > 63 or not _LABEL.fullmatch(value):
        help = "at most 63 letters, digits, `-`, `_` and `.`, beginning and ending with a letter or digit"
        raise bad("E113", f"`{value}` cannot be the value of a label", help)
    return value


def _check_label_key(key: str) -> str:
    if len(key) > 128 or not _LABEL_KEY.fullmatch(key):
        help = (
            "at most 128 letters, digits, `-`, `_`, `.` and `/`, beginning and ending with a letter or digit"
        )
        raise bad("E113", f"`{key}` cannot be the name of a label", help)
    return key


def _check_variable(name: str) -> str:
    if not is_variable(name):
        raise bad(
            "E122", f"`{name}` cannot be the name of a variable", "letters, digits and `_`, no digit first"
        )
    if name.startswith("RECONCILE_"):
        raise bad("E122", f"`{name}` is set by the reconciler itself", "choose a name without `RECONCILE_`")
    return name


def _check_secret(name: str) -> str:
    if len(name) > 255 or not _SECRET.fullmatch(name):
        help = "write the name of a file in the secrets directory"
        raise bad("E122", f"`{name}` cannot be the name of a secret", help)
    return name


def _check_no_nul(text: str) -> str:
    if "\x00" in text:
        raise bad("E116", "the text contains a NUL character", "no variable and no argument can hold one")
    return text


Name = Annotated[str, *_text(NAME_PATTERN, check_name, maxLength=63, minLength=1)]
DomainName = Annotated[str, *_text(NAME_PATTERN, _check_domain_name, maxLength=253, minLength=1)]
LabelKey = Annotated[str, *_text(_LABEL_KEY_PATTERN, _check_label_key, maxLength=128)]
LabelValue = Annotated[str, *_text(_LABEL_PATTERN, _check_label, maxLength=63)]
Labels = dict[LabelKey, LabelValue]
Variable = Annotated[str, *_text(r"^(?!RECONCILE_)[A-Za-z_][A-Za-z0-9_]*$", _check_variable)]
Secret = Annotated[str, *_text(_SECRET_PATTERN, _check_secret, maxLength=255)]
Text = Annotated[str, *_text(r"^[^\x00]*$", _check_no_nul)]
Environment = dict[Variable, Text]

# --- numbers with units, times -----------------------------------------------------------------------------------

_NUMBER = r"[0-9]{1,12}(\.[0-9]{1,6})?"
DURATION_PATTERN: Final = "^(?=[0-9])" + "".join(f"({_NUMBER}{unit})?" for unit in "wdhms") + "$"
_DURATION: Final = re.compile(DURATION_PATTERN[1:-1], re.ASCII)
_SIZE_PATTERN: Final = rf"^{_NUMBER} ?([KMGT](i|iB)?|B)?$"
_SIZE: Final = re.compile(_SIZE_PATTERN[1:-1], re.ASCII)
TIME_PATTERN: Final = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"
_TIME: Final = re.compile(TIME_PATTERN[1:-1], re.ASCII)


@lru_cache(maxsize=4096)
def _check_duration(text: str) -> str:
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise bad("E116", *_split_help(str(error))) from None
    if not _DURATION.fullmatch(text):
        raise bad(
            "E116", f"`{text}` is not a duration", "write numbers with w, d, h, m or s, such as `1h30m`"
        )
    if seconds > MAX_DURATION_SECONDS:
        raise bad("E114", f"`{text}` is longer than a hundred years")
    return text


def _check_positive(text: str) -> str:
    if parse_duration(_check_duration(text)) <= 0:
        raise bad("E114", f"`{text}` is no time at all", "it must be longer than nothing")
    return text


def _check_size(text: str) -> str:
    try:
        size = parse_size(text)
    except ValueError as error:
        raise bad("E116", *_split_help(str(error))) from None
    if not _SIZE.fullmatch(text):
        raise bad("E116", f"`{text}` is not a size", "such as `64MiB`")
    if size >= 1 << 63:
        raise bad("E114", f"`{text}` is more than can be counted")
    return text


def _split_help(message: str) -> tuple[str, str]:
    head, separator, tail = message.partition(": ")
    return (head, tail) if separator else (message, "")


def _check_time(text: str) -> str:
    if not _TIME.fullmatch(text):
        raise bad(
            "E116", f"`{text}` is not a time of the day", 'write hours and minutes in quotes, such as "02:30"'
        )
    return text


@lru_cache(maxsize=1024)
def _check_zone(name: str) -> str:
    from reconciler.core.diagnostics import suggest

    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        from zoneinfo import available_timezones

        zones = available_timezones()
        short = {zone.rpartition("/")[2]: zone for zone in zones}
        help = f"did you mean `{short[name]}`?" if name in short else suggest(name, zones)
        raise bad("E119", f"`{name}` is not a time zone", help or "such as `Europe/Paris` or `UTC`") from None
    return name


Duration = Annotated[str, *_text(DURATION_PATTERN, _check_duration)]
PositiveDuration = Annotated[str, *_text(DURATION_PATTERN, _check_positive)]
Size = Annotated[str, *_text(_SIZE_PATTERN, _check_size)]
TimeOfDay = Annotated[str, *_text(TIME_PATTERN, _check_time)]
TimeZone = Annotated[str, *_text(r"^[A-Za-z0-9_+\-/]+$", _check_zone)]

# --- addresses, paths, the rest ----------------------------------------------------------------------------------

_ADDRESS_PATTERN: Final = r"^[^\s@<>,;:\"()\[\]\\]+@[^\s@<>,;:\"()\[\]\\_]+$"
_ADDRESS: Final = re.compile(_ADDRESS_PATTERN[1:-1])


def _check_address(text: str) -> str:
    local, _, domain = text.rpartition("@")
    labels = domain.split(".")
    fits = _ADDRESS.fullmatch(text) and len(text) <= 254 and len(local) <= 64 and text.isprintable()
    dots = all(labels) and all(len(each) <= 63 and each[0] != "-" != each[-1] for each in labels)
    if not fits or not dots or not all(local.split(".")):
        help = "write the address alone, such as `ops@example.org`"
        raise bad("E117", f"`{text}` is not a mail address", help)
    return text


def _check_absolute(path: str) -> str:
    if not path.startswith("/") or "\x00" in path:
        raise bad("E124", f"`{path}` is not an absolute path", "begin with `/`")
    if ".." in path.split("/"):
        raise bad("E124", f"`{path}` goes through `..`", "write the path itself")
    return path


def _check_beside(path: str) -> str:
    parts = path.split("/")
    if path.startswith("/") or ".." in parts or "" in parts or "\x00" in path:
        raise bad(
            "E124", f"`{path}` leaves the folder of the document", "name a file beside the document, or below"
        )
    return path


def _check_mode(text: str) -> str:
    if not re.fullmatch(r"0?[0-7]{3}", text):
        raise bad("E116", f"`{text}` is not a umask", 'three octal digits in quotes, such as "027"')
    return text


Address = Annotated[str, *_text(_ADDRESS_PATTERN, _check_address, maxLength=254)]
AbsolutePath = Annotated[str, *_text(r"^/[^\x00]*$", _check_absolute)]
BesidePath = Annotated[str, *_text(r"^[^/\x00][^\x00]*$", _check_beside, minLength=1)]
Umask = Annotated[str, *_text(r"^0?[0-7]{3}$", _check_mode)]
UserName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.@-]*\$?$", max_length=64)]
Command = Annotated[list[Text], Field(min_length=1, max_length=4096)]
ExitCode = Annotated[int, Field(ge=1, le=255)]
Description = Annotated[str, Field(max_length=2000)]
