"""How many files and connections the system lets this process hold."""

from __future__ import annotations

from typing import Final

ENOUGH: Final = 65_536
LIKELY: Final = 10_240  # taken by macOS, which tells of no bound and refuses more


def raise_limit() -> int:
    """Let this process open as many as it may, 65,536 at most; how many that is now, 0 where nobody says (Windows).

    Shells often start programs with a quarter of what is allowed.
    """
    try:
        import resource
    except ImportError:
        return 0
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    bounded = hard != resource.RLIM_INFINITY
    for wanted in (min(hard, ENOUGH) if bounded else ENOUGH, LIKELY):
        if soft == resource.RLIM_INFINITY or soft >= wanted or (bounded and wanted > hard):
            continue
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (ValueError, OSError):  # more than the system gives, whatever it said
            continue
        return wanted
    return ENOUGH if soft == resource.RLIM_INFINITY else soft
