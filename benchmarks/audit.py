"""Ask pip-audit for known vulnerabilities of the installed packages; says so and passes where it cannot ask.

python benchmarks/audit.py      # needs `pip install pip-audit`
"""

from __future__ import annotations

import subprocess
import sys

_UNREACHABLE = (
    "ConnectionError",
    "ConnectTimeout",
    "ReadTimeout",
    "Max retries exceeded",
    "ServiceError",
    "ProxyError",
)


def main() -> int:
    """Run pip-audit and return its exit status, or 0 where the advisory service cannot be reached."""
    command = [sys.executable, "-m", "pip_audit", "--skip-editable", "--progress-spinner", "off", "--timeout", "20"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
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


if __name__ == "__main__":
    sys.exit(main())
