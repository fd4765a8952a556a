"""The help page of `unlearn`, which says of each method what it needs and suits."""

from typing import Any

from typer.core import TyperCommand


class MethodCommand(TyperCommand):
    """Ends its help page with what each method needs and suits, which is read from their files only then."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        from unlearn_cli.plugins.suitability import method_lines

        self.epilog = "Methods:\n\n" + "\n\n".join(method_lines())
        super().format_help(ctx, formatter)
