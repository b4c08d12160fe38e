"""`python -m script.lib.vocabulary`: list the words in tracked files that docs/glossary.md says are not used."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GLOSSARY = ROOT / "docs" / "glossary.md"
# Beside the pages: what reads or imitates an older release.
EXEMPT = re.compile(
    r"(^|/)migrations/|^config/locale/|^CHANGELOG\.md$|^docs/(glossary|failure-modes)\.md$|^tests/(test_schema_migration|config/test_upgrade)\.py$"
)


def patterns() -> re.Pattern[str]:
    """Return the expressions of the glossary's last section, ignoring case."""
    listed = GLOSSARY.read_text("utf-8").rpartition("```text\n")[2].partition("```")[0]
    return re.compile("|".join(line for line in listed.splitlines() if line), re.IGNORECASE)


def found() -> list[str]:
    """Return `path:line: word` of each occurrence in tracked text files."""
    unwanted, hits = patterns(), []
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in listed.split("\0"):
        path = ROOT / name
        if not name or EXEMPT.search(name) or not path.is_file():
            continue
        try:
            lines = path.read_text("utf-8").splitlines()
        except UnicodeDecodeError:
            continue
        hits += [
            f"{name}:{number}: {match[0]}" for number, line in enumerate(lines, 1) for match in unwanted.finditer(line)
        ]
    return hits


if __name__ == "__main__":
    occurrences = found()
    print(*occurrences, sep="\n", end="\n" if occurrences else "")
    sys.exit(1 if occurrences else 0)
