"""The command line: parse, one call into `commands`, print. Nothing here, or imported at the top, imports torch."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from unlearn_cli import attacks, console, metrics, ranks
from unlearn_cli.cli import options as o
from unlearn_cli.cli.method_help import MethodCommand
from unlearn_cli.commands.result import Result
from unlearn_cli.errors import CliError, LostProcess, UserError, resources
from unlearn_cli.plugins.run_options import RunOptions, SettingSources
from unlearn_cli.storage.version import VERSION


class Group(TyperGroup):
    """Reports errors that are not bugs, wrong usage among them, in one line; a bug keeps its traceback."""

    def make_context(self, info_name: Any, args: list[str], parent: Any = None, **extra: Any) -> Any:
        if not args:  # the help page is what is wanted
            return super().make_context(info_name, args, parent, **extra)
        with errors_in_one_line():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: Any) -> Any:
        with errors_in_one_line():
            check_working_folder()
            return super().invoke(ctx)


def check_working_folder() -> None:
    """Refuse to start in a folder that was removed: relative paths lead nowhere.

    Raises:
        UserError: it was.
    """
    try:
        Path.cwd()
    except FileNotFoundError:
        raise UserError("the folder that you are in was removed; change to another") from None


@contextmanager
def errors_in_one_line() -> Iterator[None]:
    try:
        with usage_errors(), resources():
            yield
    except LostProcess as error:
        ranks.let_the_others_end()
        raise typer.Exit(error.exit_code) from None
    except CliError as error:
        ranks.let_the_first_end()
        console.settings.speaks = True
        console.error(str(error), error.exit_code)
        raise typer.Exit(error.exit_code) from None


@contextmanager
def usage_errors() -> Iterator[None]:
    """Give Typer's own errors the form of all others."""
    try:
        yield
    except TyperException as error:
        command = getattr(getattr(error, "ctx", None), "command_path", "unlearn-cli")
        message = error.format_message().replace("Value error, ", "").rstrip(".")
        raise UserError(f"{message}; '{command} --help' lists what is expected") from None


plain = not sys.stderr.isatty() or "NO_COLOR" in os.environ  # no boxes and no colours in a pipe
app = typer.Typer(
    cls=Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None if plain else "rich",
    help="Make a saved model forget part of its training data, and show with numbers whether it did.",
)


def main() -> None:
    # torch's OpenMP reads this when it is loaded: waiting threads sleep after some microseconds. By default they spin,
    # and on a shared machine take the time that others need. 120 small training steps: by default up to 55 s beside
    # another job; so, 1.6 s beside two busy loops and 12 s beside a two-thread training; alone 0.7 s either way.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    try:
        app(prog_name="unlearn-cli")
    except SystemExit as end:
        if ranks.size() == 1:
            raise
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(end.code if isinstance(end.code, int) else 0)  # threads of the process group abort some orderly exits


def show_version(wanted: bool) -> None:
    if wanted:
        console.result(f"unlearn-cli {VERSION}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


def listed(title: str, table: dict[str, str]) -> str:
    """Return the names of a table with their summaries, for the end of a help page."""
    return f"{title}:\n\n" + "\n\n".join(f"{name}: {summary}" for name, summary in table.items())


@app.command(cls=MethodCommand)
def unlearn(
    checkpoint: o.CheckpointArgument,
    manifest: o.ManifestOption,
    out: o.OutOption,
    method: o.MethodOption = "unsir",
    config: o.ConfigOption = None,
    settings: o.SetOption = None,
    noise: Annotated[Path | None, typer.Option(help="Noise that 'unlearn-cli noise' wrote.")] = None,
    reference: o.ReferenceOption = None,
    evaluate: Annotated[bool, typer.Option(help="Measure before and after.")] = True,
    half: o.HalfOption = "all",
    dry_run: o.DryRunOption = False,
    force: o.ForceOption = False,
    forget_duplicates: o.DuplicatesOption = False,
    device: o.DeviceOption = "auto",
    precision: o.PrecisionOption = "auto",
    seed: o.SeedOption = 0,
    batch_size: o.BatchSizeOption = 128,
    memory_budget: o.MemoryOption = 2048,
    allow_code: o.AllowCodeOption = False,
    nproc: o.NprocOption = 1,
    shard: o.ShardOption = False,
    compiled: o.CompileOption = False,
    profile: o.ProfileOption = False,
    as_json: o.JsonOption = False,
    quiet: o.QuietOption = False,
    log_format: o.LogFormatOption = "text",
    overwrite: o.OverwriteOption = False,
) -> None:
    """Make a checkpoint forget; write the new one and a report."""
    from unlearn_cli.commands import unlearn as command

    divide(nproc, shard)
    talk(as_json, quiet, log_format)
    common = RunOptions(
        device=device,
        precision=precision,
        seed=seed,
        batch_size=batch_size,
        memory_budget=memory_budget,
        allow_code=allow_code,
        overwrite=overwrite,
        force=force,
        forget_duplicates=forget_duplicates,
        half=half,
        shard=shard,
        compiled=compiled,
        profile=profile,
    )
    asked = command.Asked(
        checkpoint,
        manifest,
        method,
        out,
        chosen=SettingSources(config, tuple(settings or ())),
        noise=noise,
        references=tuple(reference or ()),
        evaluate=evaluate,
        dry_run=dry_run,
    )
    finish(command.run(asked, common))


@app.command(epilog=listed("Metrics", metrics.TABLE))
def evaluate(
    checkpoint: o.CheckpointArgument,
    manifest: o.ManifestOption,
    original: o.OriginalOption = None,
    reference: o.ReferenceOption = None,
    metric: o.MetricOption = None,
    settings: o.SetOption = None,
    require: Annotated[list[str] | None, typer.Option(help="Gate: 'test_forget.accuracy <= 0.02'; repeatable.")] = None,
    half: o.HalfOption = "all",
    out: o.OptionalOutOption = None,
    junit: o.JunitOption = None,
    dry_run: o.DryRunOption = False,
    force: o.ForceOption = False,
    forget_duplicates: o.DuplicatesOption = False,
    device: o.DeviceOption = "auto",
    precision: o.PrecisionOption = "auto",
    seed: o.SeedOption = 0,
    batch_size: o.BatchSizeOption = 128,
    memory_budget: o.MemoryOption = 2048,
    allow_code: o.AllowCodeOption = False,
    nproc: o.NprocOption = 1,
    shard: o.ShardOption = False,
    compiled: o.CompileOption = False,
    profile: o.ProfileOption = False,
    as_json: o.JsonOption = False,
    quiet: o.QuietOption = False,
    log_format: o.LogFormatOption = "text",
    overwrite: o.OverwriteOption = False,
) -> None:
    """Measure a checkpoint on every split; check gates."""
    from unlearn_cli.commands import evaluate as command

    divide(nproc, shard)
    talk(as_json, quiet, log_format)
    common = RunOptions(
        device=device,
        precision=precision,
        seed=seed,
        batch_size=batch_size,
        memory_budget=memory_budget,
        allow_code=allow_code,
        overwrite=overwrite,
        force=force,
        forget_duplicates=forget_duplicates,
        half=half,
        shard=shard,
        compiled=compiled,
        profile=profile,
    )
    asked = command.Asked(
        checkpoint,
        manifest,
        original=original,
        references=tuple(reference or ()),
        metrics=tuple(metric or ()),
        settings=tuple(settings or ()),
        require=tuple(require or ()),
        out=out,
        junit=junit,
        dry_run=dry_run,
    )
    finish(command.run(asked, common))


@app.command(epilog=listed("Attacks", attacks.TABLE))
def attack(
    checkpoint: o.CheckpointArgument,
    manifest: o.ManifestOption,
    tier: o.TierOption = None,
    name: o.AttackOption = None,
    config: o.ConfigOption = None,
    settings: o.SetOption = None,
    original: o.OriginalOption = None,
    reference: o.ReferenceOption = None,
    half: o.HalfOption = "verdict",
    attempts: o.AttemptsOption = 1,
    require_tier: o.RequireTierOption = None,
    inconclusive: o.InconclusiveOption = "fail",
    shadows: o.ShadowsOption = None,
    out: o.OptionalOutOption = None,
    junit: o.JunitOption = None,
    pictures: o.PicturesOption = False,
    dry_run: o.DryRunOption = False,
    force: o.ForceOption = False,
    forget_duplicates: o.DuplicatesOption = False,
    device: o.DeviceOption = "auto",
    precision: o.PrecisionOption = "auto",
    seed: o.SeedOption = 0,
    batch_size: o.BatchSizeOption = 128,
    memory_budget: o.MemoryOption = 2048,
    allow_code: o.AllowCodeOption = False,
    nproc: o.NprocOption = 1,
    shard: o.ShardOption = False,
    compiled: o.CompileOption = False,
    profile: o.ProfileOption = False,
    as_json: o.JsonOption = False,
    quiet: o.QuietOption = False,
    log_format: o.LogFormatOption = "text",
    overwrite: o.OverwriteOption = False,
) -> None:
    """Try to tell forgotten records from never-seen ones."""
    from unlearn_cli.commands import attack as command

    divide(nproc, shard)
    talk(as_json, quiet, log_format)
    common = RunOptions(
        device=device,
        precision=precision,
        seed=seed,
        batch_size=batch_size,
        memory_budget=memory_budget,
        allow_code=allow_code,
        overwrite=overwrite,
        force=force,
        forget_duplicates=forget_duplicates,
        half=half,
        shard=shard,
        compiled=compiled,
        profile=profile,
    )
    asked = command.Asked(
        checkpoint,
        manifest,
        tier=tier,
        attacks=tuple(name or ()),
        chosen=SettingSources(config, tuple(settings or ())),
        original=original,
        references=tuple(reference or ()),
        shadows=shadows,
        out=out,
        attempts=attempts,
        require_tier=require_tier,
        inconclusive=inconclusive,
        junit=junit,
        pictures=pictures,
        dry_run=dry_run,
    )
    finish(command.run(asked, common))


@app.command()
def shadow(
    manifest: o.ManifestOption,
    folder: Annotated[Path, typer.Option("--shadows", help="Folder of the runs; may be shared and added to.")],
    method: o.MethodOption = "unsir",
    cells: Annotated[str, typer.Option(help="Which runs: 0-31, 7, or 0-3,8.")] = "0-31",
    canaries: Annotated[float, typer.Option(min=0, max=1, help="Share of forget with a random wrong label.")] = 0.0,
    retained: Annotated[
        int | None, typer.Option(min=0, help="Records of retain audited, too; default: 200, at most a tenth.")
    ] = None,
    config: o.ConfigOption = None,
    settings: o.SetOption = None,
    training: Annotated[
        list[str] | None, typer.Option("--train-set", metavar="NAME=VALUE", help="One setting of 'train'; repeatable.")
    ] = None,
    dry_run: o.DryRunOption = False,
    forget_duplicates: o.DuplicatesOption = False,
    device: o.DeviceOption = "auto",
    precision: o.PrecisionOption = "auto",
    seed: o.SeedOption = 0,
    batch_size: o.BatchSizeOption = 128,
    memory_budget: o.MemoryOption = 2048,
    allow_code: o.AllowCodeOption = False,
    as_json: o.JsonOption = False,
    quiet: o.QuietOption = False,
    log_format: o.LogFormatOption = "text",
) -> None:
    """Train and unlearn shadow networks for the audit tier."""
    from unlearn_cli.commands import shadow as command

    refuse_processes()
    talk(as_json, quiet, log_format)
    common = RunOptions(
        device=device,
        precision=precision,
        seed=seed,
        batch_size=batch_size,
        memory_budget=memory_budget,
        allow_code=allow_code,
        forget_duplicates=forget_duplicates,
    )
    chosen = SettingSources(config, tuple(settings or ()))
    asked = command.Asked(manifest, method, folder, cells, canaries, retained, chosen, tuple(training or ()), dry_run)
    finish(command.run(asked, common))


@app.command()
def noise(
    checkpoint: o.CheckpointArgument,
    manifest: o.ManifestOption,
    out: Annotated[Path, typer.Option("--out", "-o", help="A .safetensors file to write; a .png goes beside it.")],
    kind: Annotated[
        Literal["maximize", "minimize"] | None, typer.Option(help="Of the network's error on it; default: maximize.")
    ] = None,
    classes: Annotated[list[str] | None, typer.Option("--class", help="Class name or number; repeatable.")] = None,
    init: Annotated[
        Literal["normal", "uniform"] | None, typer.Option(help="What the noise begins as; default: normal.")
    ] = None,
    config: o.ConfigOption = None,
    settings: o.SetOption = None,
    device: o.DeviceOption = "auto",
    precision: o.PrecisionOption = "auto",
    seed: o.SeedOption = 0,
    allow_code: o.AllowCodeOption = False,
    as_json: o.JsonOption = False,
    quiet: o.QuietOption = False,
    log_format: o.LogFormatOption = "text",
    overwrite: o.OverwriteOption = False,
) -> None:
    """Learn error-maximising or -minimising noise, without data."""
    from unlearn_cli.commands import noise as command

    refuse_processes()
    talk(as_json, quiet, log_format)
    common = RunOptions(device=device, precision=precision, seed=seed, allow_code=allow_code, overwrite=overwrite)
    # An option that is not given must leave what the file of --config says.
    options = [f"{name}={value}" for name, value in (("kind", kind), ("init", init)) if value]
    chosen = SettingSources(config, (*options, *(settings or ())))
    finish(command.run(command.Asked(checkpoint, manifest, out, tuple(classes or ()), chosen), common))


@app.command()
def train(
    manifest: o.ManifestOption,
    out: o.OutOption,
    split: Annotated[Literal["train", "retain"], typer.Option(help="retain makes the retrained reference.")] = "train",
    start: Annotated[Path | None, typer.Option("--from", help="Checkpoint to go on from.")] = None,
    config: o.ConfigOption = None,
    settings: o.SetOption = None,
    forget_duplicates: o.DuplicatesOption = False,
    device: o.DeviceOption = "auto",
    precision: o.PrecisionOption = "auto",
    seed: o.SeedOption = 0,
    batch_size: o.BatchSizeOption = 128,
    memory_budget: o.MemoryOption = 2048,
    allow_code: o.AllowCodeOption = False,
    nproc: o.NprocOption = 1,
    shard: o.ShardOption = False,
    compiled: o.CompileOption = False,
    profile: o.ProfileOption = False,
    as_json: o.JsonOption = False,
    quiet: o.QuietOption = False,
    log_format: o.LogFormatOption = "text",
    overwrite: o.OverwriteOption = False,
) -> None:
    """Train a network: an original, or a retrained reference."""
    from unlearn_cli.commands import train as command

    divide(nproc, shard)
    talk(as_json, quiet, log_format)
    common = RunOptions(
        device=device,
        precision=precision,
        seed=seed,
        batch_size=batch_size,
        memory_budget=memory_budget,
        allow_code=allow_code,
        overwrite=overwrite,
        forget_duplicates=forget_duplicates,
        shard=shard,
        compiled=compiled,
        profile=profile,
    )
    asked = command.Asked(manifest, out, split, start, SettingSources(config, tuple(settings or ())))
    finish(command.run(asked, common))


@app.command()
def batch(
    deletion: Annotated[Path, typer.Argument(metavar="DELETION.yaml", help="What forgets, how, and by which rules.")],
    dry_run: o.DryRunOption = False,
    bisect: Annotated[
        bool, typer.Option("--bisect", help="Find the request that spoils the batch; carry out the others.")
    ] = False,
    status: Annotated[bool, typer.Option("--status", help="How many requests wait, and which is due next.")] = False,
    fail_if_due_within: Annotated[
        str | None, typer.Option(metavar="TIME", help="With --status: exit 3 if a request is due within 7d or 12h.")
    ] = None,
    history: Annotated[str | None, typer.Option(metavar="ID", help="What happened to one request.")] = None,
    close: Annotated[str | None, typer.Option(metavar="ID", help="End a request that was set aside.")] = None,
    because: Annotated[str | None, typer.Option(metavar="TEXT", help="With --close: why; for the ledger.")] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Check the ledger and the files that it knows.")] = False,
    expect_head: Annotated[
        str | None, typer.Option(metavar="HASH", help="With --verify: a ledger head printed before, or its start.")
    ] = None,
    rollback: Annotated[
        bool, typer.Option("--rollback", help="Take the last run back; its requests are pending again.")
    ] = False,
    vacuum: Annotated[
        bool, typer.Option("--vacuum", help="Remove superseded versions and old requests; list what stays.")
    ] = False,
    allow_code: o.AllowCodeOption = False,
    as_json: o.JsonOption = False,
    quiet: o.QuietOption = False,
    log_format: o.LogFormatOption = "text",
) -> None:
    """Carry out deletion requests, nightly; keep a ledger."""
    from unlearn_cli.batch import program as command

    refuse_processes()
    talk(as_json, quiet, log_format)
    asked = command.Asked(
        deletion,
        dry_run=dry_run,
        bisect=bisect,
        rollback=rollback,
        vacuum=vacuum,
        status=status,
        verify=verify,
        expect_head=expect_head,
        history=history,
        close=close,
        because=because,
        fail_if_due_within=fail_if_due_within,
        allow_code=allow_code,
    )
    finish(command.run(asked))


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write everything into.")] = Path("unlearn-demo"),
    device: o.DeviceOption = "auto",
    seed: o.SeedOption = 0,
    as_json: o.JsonOption = False,
    quiet: o.QuietOption = False,
    overwrite: o.OverwriteOption = False,
) -> None:
    """See all of it work in a minute, on real digits."""
    from unlearn_cli.commands import demo as command

    refuse_processes()
    talk(as_json, quiet, "text")

    def execute(arguments: list[str]) -> int:
        return app(arguments, standalone_mode=False) or 0

    result = command.run(out, RunOptions(device=device, seed=seed, overwrite=overwrite), execute)
    talk(as_json, quiet, "text")
    finish(result)


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(metavar="MODEL.pth", help="State dict that torch.save wrote.")],
    out: Annotated[Path, typer.Argument(metavar="MODEL.safetensors", help="Checkpoint to write.")],
    as_json: o.JsonOption = False,
    overwrite: o.OverwriteOption = False,
) -> None:
    """Turn a .pth state dict into safetensors; runs no code."""
    from unlearn_cli.commands import convert as command

    talk(as_json, False, "text")
    finish(command.run(source, out, overwrite))


@app.command()
def clean(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that runs have written in.")],
    remove: Annotated[bool, typer.Option("--remove", help="Remove what is listed and no run is using.")] = False,
    as_json: o.JsonOption = False,
) -> None:
    """List what interrupted and killed runs left behind."""
    from unlearn_cli.commands import clean as command

    talk(as_json, False, "text")
    finish(command.run(folder, remove=remove))


@app.command()
def schema(
    of: Annotated[
        Literal["manifest", "report", "deletion", "request"], typer.Argument(help="Whose schema.")
    ] = "manifest",
) -> None:
    """Print the JSON Schema of the manifest, the report, deletion.yaml or a deletion request."""
    from unlearn_cli.cli import schema as command

    finish(command.run(of))


def divide(nproc: int, shard: bool) -> None:
    """Start the same command in several processes and end as they end, unless this is one of them."""
    if nproc > 1 and ranks.size() > 1:
        raise UserError("--nproc: the launcher has started several processes already; leave it out")
    if nproc > 1:
        from unlearn_cli.cli.launch import launch, refuse_pipes

        refuse_pipes(sys.argv[1:])
        raise typer.Exit(launch(nproc, sys.argv[1:]))
    if shard and ranks.size() == 1:
        raise UserError("--shard: there is one process; give --nproc, or start several with torchrun")
    console.settings.speaks = ranks.is_first()


def refuse_processes() -> None:
    """Refuse to do the same work several times over; runs of `shadow` are shared out by --cells."""
    if ranks.size() > 1:
        raise UserError("this command runs in one process; start it without torchrun")


def talk(as_json: bool, quiet: bool, log_format: console.LogFormat) -> None:
    console.settings.json, console.settings.quiet, console.settings.log_format = as_json, quiet, log_format


def finish(result: Result) -> None:
    """Print the result of a command and end with its exit code."""
    document = json.dumps(result.document, sort_keys=True, allow_nan=False)
    console.result(document if console.settings.json else result.text)
    if result.exit_code:
        ranks.let_the_first_end()
        raise typer.Exit(result.exit_code)
