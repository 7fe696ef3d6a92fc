#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fails when a package includes one that it must not know.

The arrows between the packages go one way (README.md, "The packages"). A line of output names the
file, the line and the include that breaks the rule.
"""

import pathlib
import re
import sys

# What each package may include besides itself.
ALLOWED = {
    "context": set(),
    "async": {"context"},
    "tracing": {"context", "proto"},
    "interceptors": {"context", "async", "tracing", "proto"},
    "collector": {"context", "tracing", "proto"},
    "cli": {"context", "tracing", "proto", "collector"},
    "testing": {"context", "async", "tracing", "proto", "interceptors", "collector"},
}
# `weft/<package>/...`, with the generated code of proto/ and the version header apart.
INCLUDE = re.compile(r'\s*#\s*include\s*[<"]weft/([^/">]+)(/v1/[^">]*\.pb\.h)?')


def package_of(match):
    return "proto" if match.group(2) or match.group(1).endswith(".pb.h") else match.group(1)


def check(root):
    problems = []
    files = 0
    for package, allowed in ALLOWED.items():
        for path in sorted((root / package).rglob("*")):
            if path.suffix not in (".h", ".cc"):
                continue
            files += 1
            for number, line in enumerate(path.read_text().splitlines(), 1):
                match = INCLUDE.match(line)
                if not match or match.group(1) == "version.h":
                    continue
                included = package_of(match)
                if included != package and included not in allowed:
                    problems.append(
                        f"{path.relative_to(root)}:{number}: {package} must not include {included}"
                    )
    return files, problems


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    files, problems = check(root)
    if not files:
        problems.append(f"{root}: no sources found; is this the root of the project?")
    print("\n".join(problems) if problems else f"{files} files: every include arrow points the right way")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
