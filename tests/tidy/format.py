#!/usr/bin/env python3
"""Fails when clang-format would change a C++ file. usage: format.py ROOT

Exits with 77 (skipped) where clang-format 14 is not installed: other versions format differently.
"""

import concurrent.futures
import os
import shutil
import subprocess
import sys

import sources

SKIPPED = 77
FILES_PER_RUN = 20


def find_clang_format():
    for name in ("clang-format-14", "clang-format"):
        program = shutil.which(name)
        if program is not None:
            version = subprocess.run([program, "--version"], capture_output=True, text=True,
                                     check=False).stdout
            if "version 14." in version:
                return program
    return None


def main(root):
    program = find_clang_format()
    if program is None:
        print("clang-format 14 is not installed")
        return SKIPPED
    files = [path for path in sources.paths(root) if path.endswith((".cc", ".h"))]
    parts = [files[i:i + FILES_PER_RUN] for i in range(0, len(files), FILES_PER_RUN)]

    def check(part):
        return subprocess.run([program, "--dry-run", "-Werror", "--ferror-limit=3", *part],
                              cwd=root, capture_output=True, text=True, check=False)

    failed = False
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for result in pool.map(check, parts):
            failed = failed or result.returncode != 0
            sys.stderr.write(result.stderr)
    if failed:
        print("run: clang-format-14 -i FILE")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
