"""The frame of the command line: verbs found by their files, global options at either place, exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

import click

from reconciler.cli.exits import Exit, Failure

VERBS: Final = os.path.join(os.path.dirname(__file__), "verbs")
TABLE_FORMATS: Final = ("table", "wide", "json", "yaml", "name", "markdown")
DOCUMENT_FORMATS: Final = ("table", "json", "yaml")


class Call:
    """What the global options of one call say. Options of the verb win over the ones before it."""

    def __init__(self) -> None:
        self.directory = ""
        self.state = ""
        self.as_name = ""
        self.domain = ""
        self.labels: tuple[str, ...] = ()
        self.output = ""
        self.no_color = False
        self.watch = False

    def give(self, name: str, value: Any) -> None:
        """Take the value of one option that was given, here or in the environment."""
        setattr(self, name, value)


def _given(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    if value or value == "":
        context.ensure_object(Call).give(str(parameter.name), value)


def _global_options(of_verb: bool, formats: Sequence[str]) -> Iterator[click.Option]:
    """The global options anew: the environment counts once, at the front; the formats are the verb's."""

    def option(*names: str, environment: str = "", **more: Any) -> click.Option:
        envvar = None if of_verb or not environment else environment
        hidden = of_verb and "--output" not in names
        more["default"] = None
        return click.Option(
            names, expose_value=False, callback=_given, envvar=envvar, hidden=hidden, show_envvar=True, **more
        )

    # Whether it may be read is asked where it is: whoever comes through the socket may not.
    path = click.Path(file_okay=False, readable=False)
    yield option(
        "-C",
        "directory",
        type=path,
        metavar="DIR",
        environment="RECONCILE_DIRECTORY",
        help="Where jobs.d is; searched upwards from here when left out.",
    )
    yield option(
        "--state",
        "state",
        type=path,
        metavar="DIR",
        environment="RECONCILE_STATE",
        help="The state directory (.reconcile beside jobs.d).",
    )
    yield option(
        "--as",
        "as_name",
        metavar="ADMIN",
        environment="RECONCILE_AS",
        help="See and do what this Administrator may.",
    )
    yield option(
        "-n",
        "--domain",
        "domain",
        metavar="D",
        environment="RECONCILE_DOMAIN",
        shell_complete=complete_domains,
        help="Only this domain.",
    )
    yield option(
        "-l",
        "--selector",
        "labels",
        multiple=True,
        metavar="KEY=VALUE",
        environment="RECONCILE_SELECTOR",
        help="Only what carries this label; may be repeated.",
    )
    if formats or not of_verb:
        choices = formats or TABLE_FORMATS
        kind = click.Choice(choices) if of_verb else None
        yield option(
            "-o",
            "--output",
            "output",
            type=kind,
            metavar="|".join(choices),
            environment="RECONCILE_OUTPUT",
            help="How results are written.",
        )
    yield option(
        "--no-color",
        "no_color",
        is_flag=True,
        environment="RECONCILE_NO_COLOR",
        help="No colours (NO_COLOR too); there are none off a terminal.",
    )
    yield option(
        "-w",
        "--watch",
        "watch",
        is_flag=True,
        environment="RECONCILE_WATCH",
        help="Show again whenever it changes, until Ctrl-C.",
    )


def complete_domains(context: click.Context, _: click.Parameter, text: str) -> list[str]:
    """Complete the names of domains."""
    from reconciler.cli.reading import complete

    return complete(context.ensure_object(Call), "domains", text)


def complete_targets(context: click.Context, _: click.Parameter, text: str) -> list[str]:
    """Complete the names of jobs and targets."""
    from reconciler.cli.reading import complete

    return complete(context.ensure_object(Call), "targets", text)


class Verb(click.Command):
    """One verb: takes the global options too, and checks the format that was asked for."""

    def __init__(self, *args: Any, formats: Sequence[str] = (), watches: bool = False, **more: Any) -> None:
        super().__init__(*args, **more)
        self.params.extend(_global_options(True, formats))
        self.formats = tuple(formats)
        self.watches = watches

    def invoke(self, ctx: click.Context) -> Any:
        call = ctx.ensure_object(Call)
        if self.formats and not call.output:
            call.output = self.formats[0]
        elif call.output and call.output not in self.formats:
            known = ", ".join(self.formats) or "it has one form only"
            raise click.UsageError(f"`{ctx.info_name}` has no output `{call.output}`: {known}")
        if call.watch and not self.watches:
            raise click.UsageError(f"`{ctx.info_name}` cannot be watched")
        return super().invoke(ctx)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(ctx, formatter)
        formatter.write_paragraph()
        formatter.write_text(
            "Global options (-C, --state, --as, -n, -l, --no-color, -w): see `reconcile --help`."
        )


F = TypeVar("F", bound=Callable[..., Any])


def verb(formats: Sequence[str] = (), watches: bool = False, **more: Any) -> Callable[[F], Verb]:
    """Make a function the verb of its file; it is called with the Call first. The file's docstring is the help."""

    def made(function: F) -> Verb:
        module = sys.modules[function.__module__]
        more.setdefault("help", module.__doc__)
        name = function.__module__.rpartition(".")[2]
        decorate = click.command(name, cls=Verb, formats=formats, watches=watches, **more)
        return decorate(click.pass_obj(function))

    return made


class Verbs(click.Group):
    """The group of all verbs; a verb's file is imported when it is used, and only glanced at for the help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(
            name[:-3] for name in os.listdir(VERBS) if name.endswith(".py") and not name.startswith("_")
        )

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module_name = cmd_name.replace("-", "_")
        if not module_name.isidentifier() or not os.path.exists(os.path.join(VERBS, f"{module_name}.py")):
            return None
        from importlib import import_module

        command: click.Command = import_module(f"reconciler.cli.verbs.{module_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if (
            self.get_command(ctx, args[0]) is None
            and not args[0].startswith("-")
            and not ctx.resilient_parsing
        ):
            from reconciler.core.diagnostics import did_you_mean

            near = did_you_mean(args[0], self.list_commands(ctx))
            hint = f"did you mean `{near}`?" if near else "`reconcile --help` lists the verbs"
            raise click.UsageError(f"there is no verb `{args[0]}`; {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(name.replace("_", "-"), summary(name)) for name in self.list_commands(ctx)])


def summary(name: str) -> str:
    """The first line of the docstring of a verb's file, without importing it."""
    with open(os.path.join(VERBS, f"{name}.py"), encoding="utf-8") as file:
        return file.readline().strip().strip('"')


def _group() -> Verbs:
    options: list[click.Parameter] = [*_global_options(False, ())]
    options.append(
        click.Option(
            ["--version"],
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=_version,
            help="Print the version.",
        )
    )
    return Verbs(
        name="reconcile",
        params=options,
        help="Declarative jobs: what runs, when and for whom is written in jobs.d/.",
        epilog="New here? `reconcile init`, then `reconcile serve`.",
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )


def _version(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        from reconciler import __version__

        click.echo(f"reconcile {__version__}")
        context.exit()


def say(text: str) -> None:
    """Write one line of progress or diagnostics to stderr."""
    click.echo(text, err=True)


def run(arguments: Sequence[str]) -> int:
    """Run one command line; return its exit code. Tracebacks are shown only when RECONCILE_DEBUG is set."""
    try:
        code = _group().main(list(arguments), prog_name="reconcile", standalone_mode=False)
        sys.stdout.flush()
        return int(code or 0)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return Exit.USAGE
    except click.UsageError as error:
        error.show()
        return Exit.USAGE
    except click.ClickException as error:
        error.show()
        return Exit.FAILED
    except Failure as error:
        say(f"error: {error}" + (f"\n  {error.hint}" if error.hint else ""))
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # Who read our output has had enough. What is left in the buffer must not be tried again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK
    except Exception as error:
        if os.environ.get("RECONCILE_DEBUG"):
            raise
        say(f"internal error: {type(error).__name__}: {error}\n  RECONCILE_DEBUG=1 shows where")
        return Exit.INTERNAL
