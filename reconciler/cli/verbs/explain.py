"""Explain a code (E103) or a field (job.spec.retry.delay); without either, list what there is."""

from __future__ import annotations

import click

from reconciler.cli.exits import Exit, Failure
from reconciler.cli.frame import Call, verb
from reconciler.cli.out import emit


def _topics(context: click.Context, _: click.Parameter, text: str) -> list[str]:
    from reconciler.spec.explain import topics

    return [topic for topic in topics() if topic.lower().startswith(text.lower())]


@verb()
@click.argument("topic", required=False, default="", shell_complete=_topics)
def command(call: Call, topic: str) -> None:
    from reconciler.spec.explain import UnknownTopic, explain, topics

    if not topic:
        emit("\n".join(each for each in topics() if "." not in each))
        return
    try:
        emit(explain(topic))
    except UnknownTopic as error:
        raise Failure(Exit.NOT_FOUND, str(error), "`reconcile explain` lists codes and kinds") from None
