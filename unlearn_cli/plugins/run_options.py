"""The options that all commands share, and the sources of a plug-in's settings."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from unlearn_cli.schema.literals import Half

Precision = Literal["auto", "fp32", "bf16"]
DEFAULT_BATCH_SIZE = 128


@dataclass(frozen=True)
class CommandLine:
    """The section of a field of `RunOptions` on the help page, and its name as an option."""

    section: str = "Runtime"
    flag: str | None = None  # None: the field's name


class SharedOptions(BaseModel):
    """The options that deletion.yaml can set, too."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    force: Annotated[bool, CommandLine("Options")] = Field(
        default=False,
        description="Accept an original that is no better than chance, and over-forgetting.",
    )
    forget_duplicates: Annotated[bool, CommandLine("Options")] = Field(
        default=False, description="Also forget the records of retain that equal a forgotten one."
    )
    device: str = Field(default="auto", description="auto, cpu, cuda, cuda:N or mps.")
    precision: Precision = Field(
        default="auto",
        description="Precision of training; auto: bf16 where it is fast. bf16 also applies to predictions.",
    )
    seed: int = Field(default=0, ge=0, description="Root of all randomness.")
    batch_size: int = Field(default=DEFAULT_BATCH_SIZE, ge=2, description="Records per training step.")
    memory_budget: int = Field(
        default=2048, ge=1, description="MiB of records to hold on the device; the others are streamed."
    )
    compiled: Annotated[bool, CommandLine(flag="--compile")] = Field(
        default=False, description="Use torch.compile; faster for runs of more than some minutes."
    )


class RunOptions(SharedOptions):
    """The options of a run: device, seed, whether files are replaced, and others.

    Every field with a description becomes an option of the command line. To add an option, add a field here, or to
    `SharedOptions` if deletion batches need it, too.
    """

    half: Annotated[Half | None, CommandLine("Options")] = Field(
        default=None,  # `evaluation.reported_half.choose_half` replaces None
        description="Half of the test split: selection to choose methods and settings, verdict to judge them. Default: "
        "verdict for 'attack' and after a method that read the other half, otherwise all.",
    )
    allow_code: bool = Field(
        default=False, description="Allow your own code in the manifest, or as a method, metric or attack."
    )
    shard: bool = Field(default=False, description="Also divide the weights among the processes.")
    profile: bool = Field(default=False, description="Measure shares of time (data, forward, ...) for the report.")
    cache: Annotated[bool, CommandLine(flag="--cache/--no-cache")] = Field(
        default=True,
        description="Store predictions and facts about image files next to the output, and use those of earlier runs.",
    )
    overwrite: Annotated[bool, CommandLine("Output")] = Field(default=False, description="Replace the output.")
    pages: bool = True  # write report.html next to report.json
    manifest_folder: Path | None = None  # paths in the manifest are relative to it; None: its own folder
    # The key of the ledger of a deletion batch, for digests of the records to forget. It is not an option.
    selection_key: bytes | None = Field(default=None, repr=False)


@dataclass(frozen=True)
class SettingSources:
    """The sources of a plug-in's settings: a file, then each `name=value`; the last one wins."""

    config: Path | None = None
    assignments: tuple[str, ...] = ()
