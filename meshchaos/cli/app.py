"""The command's root: what it can do, and what becomes of errors. Imports nothing heavy: commands come when called."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
from typing import Any, Final, NoReturn

import click

COMMANDS: Final = {
    "init": ("init", "Write a first experiment for your manifests."),
    "run": ("run", "Run experiments: inject, prove, judge, put back."),
    "plan": ("plan", "Show what a run would change, and the samples a verdict needs. Changes nothing."),
    "validate": ("validate", "Check experiment files without a mesh."),
    "heal": ("heal", "Put back what an interrupted run left behind."),
    "janitor": ("janitor", "Stay, and put back what dead runs left on a cluster."),
    "report": ("report", "Judge finished runs again from their folders, without a mesh."),
    "mesh": ("mesh", "Keep a local mesh running: up, down, status."),
    "doctor": ("doctor", "Say what is missing here, and why a fault could not bite."),
    "rbac": ("rbac", "Print the Roles that experiments need on a cluster."),
    "schema": ("schema", "Print the JSON Schema of experiment files, meshchaos.yaml or result.json."),
}
"""Name -> module below ``meshchaos.cli.commands``, and the line in ``--help``."""

EXIT_CODES: Final = """\b
Exit codes:
  0  every experiment PASSed
  1  an expectation FAILed
  2  a mistake in a file, an option or a name; or nothing was selected
  3  INCONCLUSIVE or INVALID, and no FAIL
  4  something could not be put back (it is named, with the command that does it by hand)
  5  the mesh or the tool broke; everything was put back
  130  interrupted and put back
"""


class LazyGroup(click.Group):
    """Knows its commands by name; imports one when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"meshchaos.cli.commands.{COMMANDS[cmd_name][0]}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            import difflib

            near = difflib.get_close_matches(name, COMMANDS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(f"no such command {name!r}{hint}", ctx)
        return super().resolve_command(ctx, args)


def _version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value:
        import meshchaos

        click.echo(f"meshchaos {meshchaos.__version__}")
        ctx.exit(0)


@click.group(cls=LazyGroup, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Print the version."
)
def cli() -> None:
    """Resilience tests for service meshes whose verdicts can be trusted."""


def run(arguments: list[str] | None = None) -> NoReturn:
    """Runs the command and exits. A user's mistake is one line on stderr; a bug keeps its traceback and exits 5."""
    from meshchaos.errors import MeshchaosError

    signal.signal(signal.SIGTERM, _terminated)
    try:
        # Not cli.main(): it turns a reader that went away into exit code 1, which is a FAIL here.
        with cli.make_context("meshchaos", sys.argv[1:] if arguments is None else list(arguments)) as context:
            code = cli.invoke(context)
        code = code if isinstance(code, int) else 0
        sys.stdout.flush()
    except click.exceptions.Exit as error:
        code = error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else error.format_message(), err=True)
        code = 2
    except click.ClickException as error:
        _say(f"meshchaos: {error.format_message()}")
        code = 2
    except (click.Abort, KeyboardInterrupt) as error:
        _say(f"meshchaos: {str(error) or 'interrupted; nothing is applied'}")
        code = 130
    except BrokenPipeError:
        code = _nobody_reads()
    except MeshchaosError as error:
        _say(f"meshchaos: {error}")
        code = error.exit_code
    except Exception as error:
        import traceback

        _say(traceback.format_exc().rstrip())
        whose = "; ".join(getattr(error, "__notes__", ())) or "a bug of meshchaos, not of yours"
        _say(f"meshchaos: {whose}; `meshchaos heal` says whether anything is left")
        code = 5
    sys.exit(code)


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # nobody can be told
        print(text, file=sys.stderr, flush=True)


def _terminated(number: int, _frame: Any) -> NoReturn:
    raise KeyboardInterrupt


def _nobody_reads() -> int:
    """The reader of our output went (``| head``): no traceback at the interpreter's end either."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    return 128 + signal.SIGPIPE
