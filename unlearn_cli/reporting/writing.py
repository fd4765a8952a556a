"""Write reports: `report.json`, and the pages `report.html` and `pictures.html`."""

from collections.abc import Sequence
from pathlib import Path

from unlearn_cli import ranks
from unlearn_cli.evaluation.pictures import Picture
from unlearn_cli.reporting import report
from unlearn_cli.reporting.model_card import Network, format_card
from unlearn_cli.reporting.report import Report
from unlearn_cli.storage import atomic_files


def write_report(document: Report, folder: Path, noise: Picture | None = None, *, pages: bool = True) -> None:
    """Write `report.json`, and with `pages` also `report.html`, into a folder that is being built."""
    if not ranks.is_first():
        return
    report.write(document, folder)
    if pages:
        from unlearn_cli.reporting import html  # slow: Matplotlib and Jinja2
        from unlearn_cli.reporting.html.noise_grid import describe_noise

        picture = (draw_samples(noise), describe_noise(noise.classes, noise.kind)) if noise else None
        page = html.render(document, picture)
        (folder / "report.html").write_text(page, encoding="utf-8")


def write_card(document: Report, folder: Path, architecture: str, shape: Sequence[int]) -> None:
    """Write the model card, README.md, next to the weights. `shape` is that of a sample."""
    if not ranks.is_first():
        return
    text = architecture.startswith("transformers/") or architecture in ("lstm_pair", "text_numbers")
    kind = "image" if len(shape) == 3 else "text" if text else "table"
    card = format_card(document, Network(architecture, kind))
    (folder / "README.md").write_text(card, encoding="utf-8")


def save_report(document: Report, out: Path | None, *, overwrite: bool, pages: bool = True) -> None:
    """Write a report without a checkpoint into the folder `out`; write nothing if it is None."""
    if out is not None and ranks.is_first():
        with atomic_files.output_folder(out, overwrite=overwrite) as folder:
            write_report(document, folder, pages=pages)


def write_pictures(document: Report, folder: Path, pictures: dict[str, Picture]) -> None:
    """Write the reconstructions into `pictures.html`: a separate file, because they may resemble people."""
    from unlearn_cli.reporting.html.reconstructions import render_pictures

    page = render_pictures(document, {role: draw_samples(picture) for role, picture in pictures.items()})
    (folder / "pictures.html").write_text(page, encoding="utf-8")


def draw_samples(picture: Picture) -> bytes:
    """Draw samples as a PNG, one row per class."""
    from unlearn_cli.reporting.html.noise_grid import draw_noise_grid

    return draw_noise_grid(picture.samples, picture.classes)


def draw_captioned_noise(noise: Picture) -> bytes:
    """Draw learned noise as a PNG with a caption, for a file of its own."""
    from unlearn_cli.reporting.html.noise_grid import describe_noise, draw_noise_grid

    return draw_noise_grid(noise.samples, noise.classes, describe_noise(noise.classes, noise.kind))
