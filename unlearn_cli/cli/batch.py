"""The sub-commands of `unlearn-cli batch`: parse, one call into `batch.subcommands`, print. No torch."""

import shlex
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from unlearn_cli.cli import options
from unlearn_cli.cli.command import add_command
from unlearn_cli.cli.help_page import CommandGroup
from unlearn_cli.commands.result import Result
from unlearn_cli.errors import UserError
from unlearn_cli.plugins.run_options import RunOptions

DeletionYaml = Annotated[
    Path,
    typer.Argument(
        metavar="deletion.yaml", show_default=False, help="Settings of the batch: manifest, methods, gates."
    ),
]
OLD_FLAGS = ("status", "verify", "history", "close", "rollback", "vacuum", "bisect")


class BatchGroup(CommandGroup):
    """Refuses command lines from before batch had sub-commands, and names their new form."""

    examples = ("unlearn-cli batch run deletion.yaml --dry-run", "unlearn-cli batch status deletion.yaml")

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if new_form := translate_old_form(args, self.commands):
            raise UserError(f"batch has sub-commands now; use: unlearn-cli batch {new_form}")
        return super().parse_args(ctx, args)


def translate_old_form(arguments: Sequence[str], subcommands: Container[str]) -> str | None:
    """Return the new form of a command line such as `deletion.yaml --history ID`; None if it is not an old one."""
    flags = [name for name in OLD_FLAGS if any(word.partition("=")[0] == f"--{name}" for word in arguments)]
    starts_with_file = bool(arguments) and is_yaml(arguments[0]) and arguments[0] not in subcommands
    if not flags and not starts_with_file:
        return None
    name = flags[0] if flags else "run"
    words = [word for word in arguments if word not in subcommands and word != f"--{name}"]
    path = next(filter(is_yaml, words), "deletion.yaml")
    return shlex.join([name, path, *(word.removeprefix(f"--{name}=") for word in words if word != path)])


def is_yaml(word: str) -> bool:
    return Path(word).suffix in (".yaml", ".yml")


batch_app = typer.Typer(cls=BatchGroup, name="batch", help="Carry out deletion requests and keep a ledger of them.")


@add_command(
    batch_app,
    run_options=("allow_code",),
    examples=("unlearn-cli batch run deletion.yaml --dry-run", "unlearn-cli batch run deletion.yaml"),
)
def run(deletion_yaml: DeletionYaml, dry_run: options.DryRun = False, *, run_options: RunOptions) -> Result:
    """Carry out the pending requests; promote the new checkpoint."""
    from unlearn_cli.batch.subcommands.run import run

    return run(deletion_yaml, dry_run=dry_run, allow_code=run_options.allow_code)


@add_command(
    batch_app,
    examples=(
        "unlearn-cli batch status deletion.yaml",
        "unlearn-cli batch status deletion.yaml --fail-if-due-within 7d --json",
    ),
)
def status(
    deletion_yaml: DeletionYaml,
    fail_if_due_within: Annotated[
        str | None, typer.Option(metavar="TIME", help="Exit with code 3 if a request is due within 7d, 12h, ...")
    ] = None,
) -> Result:
    """Show how many requests are pending, and which is due next."""
    from unlearn_cli.batch.subcommands.status import run

    return run(deletion_yaml, fail_if_due_within)


@add_command(
    batch_app,
    examples=(
        "unlearn-cli batch verify deletion.yaml",
        "unlearn-cli batch verify deletion.yaml --expect-head 0123456789ab",
    ),
)
def verify(
    deletion_yaml: DeletionYaml,
    expect_head: Annotated[
        str | None,
        typer.Option(metavar="HASH", help="Ledger head of an earlier run, or at least its first 12 digits."),
    ] = None,
) -> Result:
    """Check the ledger, the recorded files, lineage and signatures."""
    from unlearn_cli.batch.subcommands.verify import run

    return run(deletion_yaml, expect_head)


@add_command(batch_app, examples=("unlearn-cli batch history deletion.yaml DSR-2026-0042",))
def history(
    deletion_yaml: DeletionYaml,
    request: Annotated[str, typer.Argument(metavar="REQUEST", show_default=False, help="Id of the request.")],
) -> Result:
    """Show what happened to one request."""
    from unlearn_cli.batch.subcommands.history import run

    return run(deletion_yaml, request)


@add_command(
    batch_app,
    run_options=("allow_code",),
    examples=("unlearn-cli batch close deletion.yaml DSR-2026-0042 --because 'answered by letter'",),
)
def close(
    deletion_yaml: DeletionYaml,
    request: Annotated[
        str,
        typer.Argument(
            metavar="REQUEST", show_default=False, help="Id of the request, or the name of a file without a valid one."
        ),
    ],
    because: Annotated[
        str, typer.Option(metavar="TEXT", show_default=False, help="Why it is not carried out, for the ledger.")
    ],
    *,
    run_options: RunOptions,
) -> Result:
    """End a request that was set aside, without carrying it out."""
    from unlearn_cli.batch.subcommands.close import run

    return run(deletion_yaml, request, because, allow_code=run_options.allow_code)


@add_command(
    batch_app,
    run_options=("allow_code",),
    examples=("unlearn-cli batch rollback deletion.yaml --dry-run", "unlearn-cli batch rollback deletion.yaml"),
)
def rollback(deletion_yaml: DeletionYaml, dry_run: options.DryRun = False, *, run_options: RunOptions) -> Result:
    """Undo the last run; its requests are pending again."""
    from unlearn_cli.batch.subcommands.rollback import run

    return run(deletion_yaml, dry_run=dry_run, allow_code=run_options.allow_code)


@add_command(
    batch_app,
    run_options=("allow_code",),
    examples=("unlearn-cli batch vacuum deletion.yaml --dry-run", "unlearn-cli batch vacuum deletion.yaml"),
)
def vacuum(deletion_yaml: DeletionYaml, dry_run: options.DryRun = False, *, run_options: RunOptions) -> Result:
    """Remove superseded versions and files of old requests; list the rest."""
    from unlearn_cli.batch.subcommands.vacuum import run

    return run(deletion_yaml, dry_run=dry_run, allow_code=run_options.allow_code)


@add_command(batch_app, run_options=("allow_code",), examples=("unlearn-cli batch bisect deletion.yaml",))
def bisect(deletion_yaml: DeletionYaml, *, run_options: RunOptions) -> Result:
    """Find the request that makes a batch fail; carry out the others."""
    from unlearn_cli.batch.subcommands.bisect import run

    return run(deletion_yaml, allow_code=run_options.allow_code)
