"""The command line in a report: as typed, with the options that differ from their defaults, without absolute paths."""

from pathlib import Path

from unlearn_cli.commands.attack import AttackOptions
from unlearn_cli.commands.command_text import format_command_line
from unlearn_cli.commands.train import TrainOptions
from unlearn_cli.commands.unlearn import UnlearnOptions
from unlearn_cli.plugins.run_options import RunOptions, SettingSources


def test_paths_outside_of_the_working_directory_are_their_last_name() -> None:
    options = AttackOptions(
        Path("/srv/ada/unlearned/model.safetensors"),
        Path("data.yaml"),
        tier="standard",
        original=Path("../original/model.safetensors"),
        references=(Path("ref 1/model.safetensors"), Path("ref2")),
        settings=SettingSources(assignments=("file=/srv/ada/x", "lr=0.1")),
        junit=Path("/srv/ada/gates.xml"),
    )
    assert format_command_line("attack", options, RunOptions(half="verdict", overwrite=True)) == (
        "unlearn-cli attack …/model.safetensors --manifest data.yaml --tier standard --set file=…/x --set lr=0.1 "
        "--original …/model.safetensors --reference 'ref 1/model.safetensors' --reference ref2 --half verdict"
    )


def test_options_have_the_names_of_the_command_line() -> None:
    train = TrainOptions(Path("data.yaml"), Path("out"), split="retain", start=Path("model.safetensors"))
    assert format_command_line("train", train, RunOptions(seed=3, compiled=True)) == (
        "unlearn-cli train --manifest data.yaml --out out --split retain --from model.safetensors --seed 3 --compile"
    )
    unlearn = UnlearnOptions(Path("m"), Path("d"), "unsir", Path("o"), evaluate=False, noise=Path("n"))
    assert format_command_line("unlearn", unlearn, RunOptions()) == (
        "unlearn-cli unlearn m --manifest d --method unsir --out o --noise n --no-evaluate"
    )
