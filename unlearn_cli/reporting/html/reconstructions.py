"""The page of reconstructions, separate from the report because pictures of classes may resemble people."""

import base64
from html import escape

from unlearn_cli.console import visible
from unlearn_cli.reporting.html.roles import title_roles
from unlearn_cli.reporting.report import Report

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Reconstructions</title>
<style>body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }}
img {{ image-rendering: pixelated; max-width: 100%; border: 1px solid #bbb; }}</style></head><body>
<h1>Reconstructions of the forgotten classes</h1>
<p>The result of model inversion of each network, one row per class. Protect this file like the data: a picture of a
class may resemble a person. Compare with the reference, which was never trained on these records.</p>
{figures}
</body></html>
"""


def render_pictures(report: Report, pictures: dict[str, bytes]) -> str:
    """Return the page; `pictures` are PNG files by role."""
    titles = {role: role for role in pictures} | title_roles(report)
    figures = [
        f"<figure><figcaption>{escape(titles[role])}</figcaption>"
        f'<img alt="Reconstructions: {escape(titles[role])}" '
        f'src="data:image/png;base64,{base64.b64encode(png).decode()}">'
        "</figure>"
        for role, png in pictures.items()
    ]
    forgotten = ", ".join(report.manifest.forget_classes or [])
    return visible(PAGE.format(figures="\n".join([f"<p>Classes: {escape(forgotten)}</p>", *figures])))
