"""The load of each hour of a week, drawn with blocks that need no colour."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from reconciler.cli.exits import Exit, Failure
from reconciler.cli.out import colored, document, paint

if TYPE_CHECKING:
    from reconciler.cli.frame import Call
    from reconciler.core.forecast import Coming
    from reconciler.core.model import TargetId

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SHADES: Final = " ░▒▓█"
_TINTS: Final = ("", "success", "success", "warning", "error")


def heatmap_text(call: Call, coming: Iterable[Coming], durations: Mapping[TargetId, float], zone: str) -> str:
    """Two cells an hour, the darker the more minutes of running; the same numbers as JSON or YAML."""
    from reconciler.core.forecast import UNMEASURED_SECONDS, load_per_hour

    try:
        load = load_per_hour(coming, durations, zone)
    except KeyError:
        raise Failure(Exit.USAGE, f"there is no time zone `{zone}`") from None
    if call.output in ("json", "yaml"):
        items = [
            {"day": day, "minutes": [round(minutes, 2) for minutes in hours]}
            for day, hours in zip(DAYS, load, strict=True)
        ]
        return document(call.output, {"timeZone": zone, "items": items})
    most = max(map(max, load))
    lines = ["     " + "".join(f"{hour:02}    " for hour in range(0, 24, 3)) + f" minutes a day, {zone}"]
    for day, hours in zip(DAYS, load, strict=True):
        cells = "".join(_cell(call, minutes, most) for minutes in hours)
        lines.append(f"{day}  {cells}  {sum(hours):.0f}".rstrip())
    scale = ", ".join(f"{_SHADES[step]} to {most * step / 4:.3g}" for step in range(1, 5))
    lines.append(f"minutes of running in an hour: {scale}" if most else "nothing runs in this time")
    if most:
        lines.append(f"a target that was never measured counts as {UNMEASURED_SECONDS:.0f} s a run")
    return "\n".join(lines)


def _cell(call: Call, minutes: float, most: float) -> str:
    step = min(4, -int(-minutes * 4 // most)) if minutes else 0
    return paint(_SHADES[step] * 2, _TINTS[step], colored(call) and step > 0)
