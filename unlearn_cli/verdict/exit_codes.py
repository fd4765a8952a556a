"""The exit code of a verdict. Neither torch nor SciPy."""

from unlearn_cli.verdict.judgement import Verdict

ORDER = ("quick", "standard", "audit")


def exit_code(verdict: Verdict | None, *, inconclusive: str, tier: str | None, require_tier: str | None) -> int:
    """Return 0 if passed, 3 if failed, 4 if undecided or of a tier below the required one."""
    if verdict is None:
        return 0
    if verdict == "failed":
        return 3
    if verdict == "error":
        return 4
    if verdict in ("inconclusive", "nothing_to_forget"):
        return 4 if inconclusive == "fail" or require_tier else 0
    return 4 if require_tier and not _has_tier(verdict, tier, require_tier) else 0


def _has_tier(verdict: Verdict, tier: str | None, required: str) -> bool:
    """Return whether a verdict has the required tier; a screen has the lowest tier."""
    reached = "quick" if verdict == "passed_screen" else (tier or "quick")
    return ORDER.index(reached) >= ORDER.index(required)
