"""The evidence of a batch run: statements about what was made and measured, signed if there is a key.

They state which files were made from which, how, and what was measured on them. They do not state that any record's
influence is gone.
"""

import json
from pathlib import Path

from unlearn_cli.batch.evidence.provenance import build_provenance
from unlearn_cli.batch.evidence.result_statement import build_test_result
from unlearn_cli.batch.evidence.statement import Facts, Statement, to_json
from unlearn_cli.errors import IntegrityError
from unlearn_cli.reporting.report import Report
from unlearn_cli.storage import atomic_files, regular_files

ENVELOPE = ".dsse.json"


def build_statements(facts: Facts, unlearned: Report, attacked: Report | None) -> dict[str, Statement]:
    """Return the statements by name.

    Raises:
        IntegrityError: the two reports are about different checkpoints.
    """
    reports = [unlearned, *([attacked] if attacked else [])]
    if len({report.subject.tensor_digest if report.subject else None for report in reports}) > 1:
        raise IntegrityError(
            "the reports of 'unlearn' and 'attack' are about different checkpoints, so no evidence is written; "
            "a file was replaced during the run: find out who changed it"
        )
    return {
        "provenance": build_provenance(facts, unlearned, attacked),
        "test-result": build_test_result(facts, unlearned, attacked),
    }


def write_evidence(
    folder: Path, facts: Facts, unlearned: Report, attacked: Report | None, key: Path | None = None
) -> dict[str, str]:
    """Write NAME.json, and with a key NAME.dsse.json; return the SHA-256 of each file by its name.

    The same facts and key give the same bytes, so a run that continues after it was killed may write them again.

    Raises:
        IntegrityError: as `build_statements`.
        UserError: as `signing.check_key`.
    """
    texts: dict[str, str] = {}
    for name, statement in build_statements(facts, unlearned, attacked).items():
        texts[f"{name}.json"] = to_json(statement)
        if key:
            from unlearn_cli.batch.evidence import signing  # its library is an extra

            texts[f"{name}{ENVELOPE}"] = json.dumps(signing.sign(statement, key), sort_keys=True, indent=2) + "\n"
    for name, text in texts.items():
        with atomic_files.output_file(folder / name) as path:
            path.write_text(text, encoding="utf-8")
    return {name: regular_files.sha256(folder / name) for name in texts}


def verify_signatures(folder: Path, key: Path) -> list[str]:
    """Check the signature of every statement in a folder, and return the names of the envelopes.

    Raises:
        IntegrityError: a file has no signature of this key, or differs from what was signed; the message names it.
        UserError: as `signing.check_key`.
    """
    names = sorted({path.name.removesuffix(".json").removesuffix(".dsse") for path in folder.glob("*.json")})
    for name in names:
        _verify_statement(folder / f"{name}.json", folder / f"{name}{ENVELOPE}", key)
    return [f"{name}{ENVELOPE}" for name in names]


def _verify_statement(plain: Path, envelope: Path, key: Path) -> None:
    from unlearn_cli.batch.evidence import signing  # its library is an extra

    try:
        statement = signing.verify(json.loads(envelope.read_bytes()), key)
        content = plain.read_bytes()
    except FileNotFoundError as error:
        name = Path(error.filename).name
        raise IntegrityError(f"{name}: is missing next to its statement; restore it from a backup") from None
    except (ValueError, RecursionError):
        raise IntegrityError(f"{envelope.name}: is not valid JSON; do not trust it") from None
    except IntegrityError as error:
        raise IntegrityError(f"{envelope.name}: {error}") from None
    if to_json(statement).encode() != content:
        raise IntegrityError(f"{plain.name}: differs from the statement that was signed; do not trust it")
