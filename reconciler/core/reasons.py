"""What each reason of a run's state means and what to do about it, shown by `reconcile explain REASON`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from reconciler.core.model import Reason

REASONS: Final[Mapping[Reason, str]] = {
    Reason.EXIT_CODE: "The command ended with an exit code other than 0. Its log says why.",
    Reason.SIGNAL: "The command was ended by a signal that the reconciler did not send.",
    Reason.TIMED_OUT: "The run took longer than `timeout` and was stopped: stopSignal, stopGrace, KILL.",
    Reason.OUT_OF_MEMORY: "The run hit its memory limit, or the machine's. Raise `limits.memory`, or find the leak.",
    Reason.START_FAILED: "The command could not be started: not there, not executable, no such user or folder.",
    Reason.SECRET_MISSING: "A secret that the job names is not in the secrets directory.",
    Reason.LOG_ERRORS: "The command succeeded, but its log has lines at or above `warnings.level`.",
    Reason.WARNING_EXIT_CODE: "The exit code is one of `warnings.exitCodes`: done, with warnings.",
    Reason.EXPECTATION: "The run succeeded but was not as `expect` says: too short, too long, too little output.",
    Reason.EXIT_UNKNOWN: "The run ended while nothing that watched it was alive, so its exit code is lost.",
    Reason.MACHINE_RESTARTED: "The machine restarted while the run was under way. It is not started again by itself.",
    Reason.FORGOTTEN: "The executor does not know the run any more, although it was started there.",
    Reason.STILL_RUNNING: "The run before it was not over, and `concurrency` is skip.",
    Reason.LOCKS_BUSY: "Another run holds one of the job's locks.",
    Reason.NO_PLACE: "As many runs as `maxParallel` or `maxParallelPerDomain` allow are under way.",
    Reason.RETRY_DELAY: "The next attempt waits for the delay of `retry`.",
    Reason.OUTSIDE_WINDOW: "The run waits until the window of `automatic` opens again.",
    Reason.QUEUE_FULL: "One run was waiting already, and `concurrency: queue` lets one wait.",
    Reason.NOT_READY: "The target cannot run now, such as for want of a secret; its condition says why.",
    Reason.DEADLINE_EXCEEDED: "The slot was older than its `startingDeadline` before the run could start.",
    Reason.RECONCILER_DOWN: "No reconciler was running at the slot, and `catchUp` did not ask for it.",
    Reason.SUPERSEDED: "A later slot was caught up instead (`catchUp: latest` runs one for all that was missed).",
    Reason.PAUSED: "The target was paused at the slot. Paused slots are never caught up.",
    Reason.DISABLED: "The target was disabled while the run waited.",
    Reason.REMOVED: "The target was removed while the run waited.",
    Reason.CALENDAR: "A calendar leaves this slot out.",
    Reason.CANCELLED_BY: "Someone cancelled the run; its record says who.",
    Reason.REPLACED: "A newer run took its place (`concurrency: replace`).",
    Reason.SCHEDULE_CHANGED: "The schedule was changed before the run started.",
    Reason.CLOCK_STEPPED: "The clock was set; slots that it jumped over or repeated are settled once.",
}
