"""What a batch run leaves for others to check: statements of what was made and measured, signed when there is a key.

They say which bytes came of which, how, and what was measured on them; not that anything is gone.
"""

import json
from pathlib import Path

from unlearn_cli.batch.evidence.provenance import provenance
from unlearn_cli.batch.evidence.statement import Facts, Statement, to_json
from unlearn_cli.batch.evidence.tested import tested
from unlearn_cli.errors import IntegrityError
from unlearn_cli.reporting.report import Report
from unlearn_cli.storage import atomic_files, regular_files

ENVELOPE = ".dsse.json"


def statements(facts: Facts, unlearned: Report, attacked: Report | None) -> dict[str, Statement]:
    """Return the statements by their names.

    Raises:
        IntegrityError: the two reports are not of the same checkpoint.
    """
    subjects = {one.subject.tensor_digest if one.subject else None for one in (unlearned, attacked) if one}
    if len(subjects) > 1:
        raise IntegrityError(
            "the reports of 'unlearn' and 'attack' are not of the same checkpoint, so no evidence is written; "
            "a file was replaced during the run: find out by whom"
        )
    return {
        "provenance": provenance(facts, unlearned, attacked),
        "test-result": tested(facts, unlearned, attacked),
    }


def write(
    folder: Path, facts: Facts, unlearned: Report, attacked: Report | None, key: Path | None = None
) -> dict[str, str]:
    """Write NAME.json, and with a key NAME.dsse.json, and return the SHA-256 of each file by its name.

    The same facts and key give the same bytes: a run that goes on after it was killed may write them again.

    Raises:
        IntegrityError: as `statements`.
        UserError: as `signing.check_key`.
    """
    written: dict[str, str] = {}
    for name, made in statements(facts, unlearned, attacked).items():
        written[f"{name}.json"] = to_json(made)
        if key:
            from unlearn_cli.batch.evidence import signing  # its library is an extra

            written[f"{name}{ENVELOPE}"] = json.dumps(signing.sign(made, key), sort_keys=True, indent=2) + "\n"
    for name, text in written.items():
        with atomic_files.output_file(folder / name) as path:
            path.write_text(text, encoding="utf-8")
    return {name: regular_files.sha256(folder / name) for name in written}


def verify(folder: Path, key: Path) -> list[str]:
    """Check the signature of every statement in a folder, and return the names of the envelopes.

    Raises:
        IntegrityError: names the file that has no signature of this key, or that says something else than is signed.
        UserError: as `signing.check_key`.
    """
    names = sorted({path.name.removesuffix(".json").removesuffix(".dsse") for path in folder.glob("*.json")})
    for name in names:
        _verify(folder / f"{name}.json", folder / f"{name}{ENVELOPE}", key)
    return [f"{name}{ENVELOPE}" for name in names]


def _verify(plain: Path, envelope: Path, key: Path) -> None:
    from unlearn_cli.batch.evidence import signing  # its library is an extra

    try:
        signed = signing.verify(json.loads(envelope.read_bytes()), key)
        told = plain.read_bytes()
    except FileNotFoundError as error:
        raise IntegrityError(f"{Path(error.filename).name}: is missing beside its statement; fetch it again") from None
    except (ValueError, RecursionError):
        raise IntegrityError(f"{envelope.name}: is no JSON; do not trust it") from None
    except IntegrityError as error:
        raise IntegrityError(f"{envelope.name}: {error}") from None
    if to_json(signed).encode() != told:
        raise IntegrityError(f"{plain.name}: says something else than what was signed; do not trust it")
