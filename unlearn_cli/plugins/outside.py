"""The user's own code: `package.module:function` or `path/to/file.py:function`; imported only when it is called."""

import importlib.util
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unlearn_cli.errors import UserError
from unlearn_cli.storage import regular_files


@dataclass(frozen=True)
class OutsideCode:
    """The definition of a function outside of the package."""

    path: Path
    module: str | None  # None: a single file
    function: str
    sha256: str  # of the file

    @property
    def label(self) -> str:
        """The name in reports and messages: without the folder of the file."""
        return f"{self.module or self.path.name}:{self.function}"

    @property
    def full_name(self) -> str:
        """The name by which `locate` finds it, from any folder."""
        return f"{self.module or self.path.absolute()}:{self.function}"

    def load(self) -> Callable[..., Any]:
        """Import the code and return the function.

        Raises:
            UserError: an import in the code fails, or it uses a name that it does not define.
        """
        try:
            module = importlib.import_module(self.module) if self.module else self._import_file()
        except ImportError as error:
            raise UserError(
                f"{self.label}: cannot be imported: {error}; set PYTHONPATH to the folder of the modules it imports"
            ) from None
        except NameError as error:
            raise UserError(f"{self.path}:{self._find_line(error)}: cannot be imported: {error}") from None
        return getattr(module, self.function)

    def _find_line(self, error: BaseException) -> int:
        """Return the line of the file at which an error was raised."""
        frames = traceback.extract_tb(error.__traceback__)
        return next((frame.lineno or 1 for frame in reversed(frames) if Path(frame.filename) == self.path), 1)

    def _import_file(self) -> Any:
        name = f"unlearn_cli_outside_{self.sha256[:16]}"
        if name not in sys.modules:
            spec = importlib.util.spec_from_file_location(name, self.path)
            assert spec is not None and spec.loader is not None
            sys.modules[name] = module = importlib.util.module_from_spec(spec)
            try:
                spec.loader.exec_module(module)
            except BaseException:
                del sys.modules[name]
                raise
        return sys.modules[name]


def is_outside(name: str) -> bool:
    """Return whether a plug-in's name refers to code outside of the package."""
    return ":" in name


def locate(name: str, *, allow_code: bool, folder: Path = Path()) -> OutsideCode:
    """Find the file of `package.module:function` or `path/to/file.py:function`, relative to `folder`.

    Raises:
        UserError: code is not allowed, the name has another form, or the file or module does not exist.
    """
    location, _, function = name.rpartition(":")
    is_file = location.endswith(".py")
    if not function.isidentifier() or not (is_file or all(part.isidentifier() for part in location.split("."))):
        raise UserError(f"'{name}': expected package.module:function or path/to/file.py:function")
    if not allow_code:
        raise UserError(f"{name}: is your own code; allow it with --allow-code")
    path = folder / location if is_file else _find_module_file(location, name)
    return OutsideCode(path, None if is_file else location, function, regular_files.sha256(path))


def _find_module_file(module: str, name: str) -> Path:
    """Return the source file of a module; its parent packages are imported."""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        raise UserError(
            f"{name}: no module '{module}' with Python source; set PYTHONPATH to the folder that contains it, "
            "or name the file: path/to/file.py:function"
        )
    return Path(spec.origin)
