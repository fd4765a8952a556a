"""The options that all commands share, and where the settings of a plug-in come from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from unlearn_cli.schema.literals import Half

Precision = Literal["auto", "fp32", "bf16"]


@dataclass(frozen=True)
class CommandLine:
    """How the command line shows a field of `RunOptions`: in which section of the help page, and under which name."""

    section: str = "Runtime"
    flag: str | None = None  # None: the field's name


class SharedOptions(BaseModel):
    """The options that a deletion batch sets in deletion.yaml, too."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    force: Annotated[bool, CommandLine("Options")] = Field(
        default=False,
        description="Go on with an original that is no better than chance; accept over-forgetting.",
    )
    forget_duplicates: Annotated[bool, CommandLine("Options")] = Field(
        default=False, description="Also forget the records of retain that equal a forgotten one."
    )
    device: str = Field(default="auto", description="auto, cpu, cuda, cuda:N or mps.")
    precision: Precision = Field(
        default="auto",
        description="Precision of training; auto: what the device is fast in. bf16 also applies to predictions.",
    )
    seed: int = Field(default=0, ge=0, description="Root of all randomness.")
    batch_size: int = Field(default=128, ge=2, description="Records per training step.")
    memory_budget: int = Field(
        default=2048, ge=1, description="MiB of records of all splits to keep on the device; more are streamed."
    )
    compiled: Annotated[bool, CommandLine(flag="--compile")] = Field(
        default=False, description="Use torch.compile; it pays for runs longer than some minutes."
    )


class RunOptions(SharedOptions):
    """How a command runs: device, seed, which files it may replace.

    The command line makes an option of every field that has a description, so a new option is one more field here; one
    more of `SharedOptions` if it is also for deletion batches.
    """

    half: Annotated[Half, CommandLine("Options")] = Field(
        default="all",
        description="Half of the hold-out: one to choose methods and settings by, one to judge with.",
    )
    allow_code: bool = Field(
        default=False, description="Allow code of your own: in the manifest, or as a method, metric or attack."
    )
    shard: bool = Field(default=False, description="Also divide the weights among the processes.")
    profile: bool = Field(default=False, description="Measure where the time goes; the report has the shares.")
    overwrite: Annotated[bool, CommandLine("Output")] = Field(default=False, description="Replace the output.")
    pages: bool = True  # write report.html next to report.json
    manifest_folder: Path | None = None  # where relative paths in the manifest start; None: its own folder
    # Of a deletion batch's ledger: the key of the digests of the records to forget. It is not an option.
    selection_key: bytes | None = Field(default=None, repr=False)


@dataclass(frozen=True)
class SettingSources:
    """Where the settings of a plug-in come from: a file, then each `name=value`; the last one wins."""

    config: Path | None = None
    assignments: tuple[str, ...] = ()
