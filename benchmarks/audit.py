"""Ask pip-audit for known vulnerabilities of the installed packages; says so and passes where it cannot ask in time.

    python benchmarks/audit.py                 # installs pip-audit if it is not there
    python benchmarks/audit.py --seconds 300

A vulnerability that is found fails it.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
import time

_UNREACHABLE = (
    "ConnectionError",
    "ConnectTimeout",
    "ReadTimeout",
    "Max retries exceeded",
    "ServiceError",
    "ProxyError",
)

INSTALL = [
    sys.executable,
    "-m",
    "pip",
    "install",
    "--quiet",
    "--disable-pip-version-check",
    "--retries",
    "0",
    "pip-audit",
]
AUDIT = [sys.executable, "-m", "pip_audit", "--skip-editable", "--progress-spinner", "off", "--timeout", "20"]


def _ran(command: list[str], until: float) -> subprocess.CompletedProcess[str]:
    """Run a command, which is killed at `until`, in seconds of the monotonic clock.

    Raises:
        TimeoutExpired: It was.
    """
    left = max(until - time.monotonic(), 0.0)
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=left)  # noqa: S603


def audited(until: float) -> int:
    """Run pip-audit and return its exit status, or 0 where the advisory service cannot be reached.

    Raises:
        TimeoutExpired: It took longer than until `until`.
    """
    if importlib.util.find_spec("pip_audit") is None and _ran(INSTALL, until).returncode:
        print("audit: not done, pip-audit is not installed and cannot be")
        return 0
    done = _ran(AUDIT, until)
    said = done.stdout + done.stderr
    if done.returncode and any(sign in said for sign in _UNREACHABLE):
        print("audit: not done, the advisory service cannot be reached")
        return 0
    print(said.strip())
    # An index without advisories, such as a mirror, knows none of them, and "no known vulnerabilities" would mislead.
    unknown = said.count("could not be audited")
    if unknown and not done.returncode:
        print(f"audit: {unknown} packages could not be audited, so nothing is said of them")
    return done.returncode


def main() -> int:
    """Audit for so long as may be, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0, help="how long it may take")
    seconds = parser.parse_args().seconds
    try:
        return audited(time.monotonic() + seconds)
    except subprocess.TimeoutExpired:
        print(f"audit: not done, the advisory service does not answer within {seconds:g} s")
        return 0


if __name__ == "__main__":
    sys.exit(main())
