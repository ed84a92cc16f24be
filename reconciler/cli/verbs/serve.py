"""Run the daemon: watch, schedule, run; with --once only what is due, then exit.

With --once the exit code is the runs' outcome: 10 one failed, 11 warning, 12 interrupted or cancelled, 13 skipped,
expired or refused.
"""

from __future__ import annotations

from typing import Any

import click

from reconciler.cli.frame import Call, verb
from reconciler.cli.serving import serve_options_of, source_options
from reconciler.cli.who import for_system_only


@verb()
@click.option(
    "--listen", metavar="HOST:PORT", default="127.0.0.1:9099", envvar="RECONCILE_LISTEN", show_default=True,
    help="Metrics, health and console; empty for none.",
)  # fmt: skip
@click.option("--once", is_flag=True, help="Reconcile, run what is due or requested, wait for it, exit.")
@click.option(
    "--metrics-max-targets", type=click.IntRange(0), default=10_000, envvar="RECONCILE_METRICS_MAX_TARGETS",
    show_default=True, help="Above, only targets that matter have series of their own.",
)  # fmt: skip
@source_options
def command(call: Call, listen: str, once: bool, metrics_max_targets: int, **source: Any) -> int:
    for_system_only(call, "serve")
    options = serve_options_of(
        call, source, listen=listen, once=once, metrics_max_targets=metrics_max_targets
    )
    from reconciler.daemon.serve import main

    return main(options)
