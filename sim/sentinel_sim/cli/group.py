"""How every verb ends: no traceback, one message, the exit code of the error."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup

from sentinel_sim.cli import output
from sentinel_sim.errors import EXIT_UNEXPECTED, EXIT_USAGE, SimError

if TYPE_CHECKING:
    from sentinel_sim.cli.wiring import Wiring

EXIT_INTERRUPTED = 130


@dataclass
class Invocation:
    """One call of the program; `as_json` is set by the verb before it does anything."""

    given: Wiring | None = None
    """By a test; else the real one is made when it is first needed."""
    debug: bool = False
    as_json: bool = False

    @cached_property
    def wiring(self) -> Wiring:
        """What the verb uses of the outside world."""
        from sentinel_sim.cli.wiring import Wiring  # late: `--help` of a verb needs none of it

        return self.given or Wiring()

    @classmethod
    def of(cls, ctx: typer.Context, *, as_json: bool) -> Invocation:
        """The call that a verb belongs to, told whether it answers in JSON."""
        found = ctx.obj
        if not isinstance(found, cls):
            raise TypeError("the verb was called without its group")
        found.as_json = as_json
        return found


class Verbs(TyperGroup):
    """Turns errors into exit codes, whoever calls: the console script or a test."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: Any = None,  # noqa: ANN401
        **extra: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Read the flags before the verb; wrong usage is one line and exit code 2."""
        try:
            return super().make_context(info_name, args, parent, **extra)
        except Exception as error:
            _report_usage(error)
            raise

    # typer names the parameter's type by a private module of its own.
    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]  # noqa: ANN401
        """Run the verb; raises typer.Exit with the code."""
        try:
            return super().invoke(ctx)
        except SimError as error:
            output.report_error(error, as_json=_invocation(ctx).as_json)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            output.say("sentinel-sim: interrupted")
            raise typer.Exit(EXIT_INTERRUPTED) from None
        except (typer.Exit, typer.Abort):
            raise
        except Exception as error:
            _report_usage(error)
            if _shows_help(error) or _invocation(ctx).debug:
                raise
            # The last resort of the program: whatever it was, it is one line and a log.
            _report_unexpected(error, _invocation(ctx))
            raise typer.Exit(EXIT_UNEXPECTED) from None


def _report_usage(error: Exception) -> None:
    """Wrong usage: say so in one line. Raises typer.Exit; anything else is left alone."""
    # Its classes are in a private module of typer's.
    if not hasattr(error, "format_message") or _shows_help(error):
        return
    ctx = getattr(error, "ctx", None)
    command = ctx.command_path if ctx is not None else "sentinel-sim"
    words = " ".join(error.format_message().split()).replace("Value error, ", "").rstrip(".")
    output.say(f"sentinel-sim: {words[:1].lower()}{words[1:]}; see: {command} --help")
    raise typer.Exit(EXIT_USAGE) from None


def _shows_help(error: Exception) -> bool:
    """A group of verbs was called with nothing at all."""
    return type(error).__name__ == "NoArgsIsHelpError"


def _invocation(ctx: typer.Context) -> Invocation:
    return ctx.obj if isinstance(ctx.obj, Invocation) else Invocation()


def _report_unexpected(error: Exception, invocation: Invocation) -> None:
    wiring = invocation.wiring
    log = output.log_unexpected(error, wiring.log_directory(), wiring.now())
    where = f"the log is {log}" if log else "no log could be written"
    words = " ".join(str(error).split()) or "no message"
    output.say(f"sentinel-sim: unexpected {type(error).__name__}: {words}; {where}")
