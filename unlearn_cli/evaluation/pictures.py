"""Samples that a method or an attack shows, as arrays; `reporting` draws them."""

from typing import NamedTuple

import numpy as np

from unlearn_cli.evaluation.session import Session


class Picture(NamedTuple):
    """Samples of shape (rows, columns, ...), with the class name of each row, and the kind of learned noise."""

    samples: np.ndarray
    classes: list[str]
    kind: str = ""


def take_picture(session: Session, name: str) -> Picture | None:
    """Return and remove the samples shown under a name; None if there are none."""
    if name not in session.run.shown_samples:
        return None
    samples, classes, kind = session.run.shown_samples.pop(name)
    names = session.opened.dataset.classes or []
    return Picture(samples.float().cpu().numpy(), [names[number] for number in classes], kind)
