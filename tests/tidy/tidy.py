#!/usr/bin/env python3
"""Tests the repository: prints each violation as path:line: what, and fails when there is one.

usage: tidy.py ROOT
"""

import os
import re
import sys

import sources

CPP = (".cc", ".h")
SOURCES = CPP + (".py", ".sh", ".proto")
COLUMNS_MAX = {".cc": 100, ".h": 100, ".py": 100, ".proto": 100, ".sh": 110}
LINES_MAX = {".cc": 700, ".h": 300, ".py": 700, ".sh": 700}

# Who may include whom. A folder may always include itself; the longest prefix counts.
MAY_INCLUDE = {
    "base": [],
    "proto": ["base"],
    "storage": ["base"],
    "storage/bench_support": ["base", "storage", "bench"],
    "broker": ["base"],
    "client": ["base", "proto"],
    "client/nats": ["base"],
    "controller": ["base", "proto", "storage", "client/nats"],
    "feeds": ["base", "proto", "client/nats"],
    "gateway": ["base", "proto", "storage", "client"],
}
# The one folder that wraps a third-party library. Tests may use one to prepare what it wraps.
WRAPPED = {
    r"<nats/": "client/nats",
    r"<(mysql|mariadb)?/?(mysql|mysqld_error|errmsg)\.h>": "storage",
}

# Written in pieces, so that this file does not offend itself.
MACHINE_PATHS = ["/wo" + "rk/", "/ro" + "ot/"]
REGISTRY_HOSTS = [
    "deb.debian" + ".org", "security.debian" + ".org", "archive.ubuntu" + ".com",
    "registry.npmjs" + ".org", "pypi" + ".org", "files.pythonhosted" + ".org",
    "proxy.golang" + ".org", "crates" + ".io", "rubygems" + ".org", "registry-1.docker" + ".io",
    "hub.docker" + ".com", "repo.maven.apache" + ".org",
]

# Where a thread may sleep without a comment on the line or the one above that says why.
MAY_SLEEP = {
    "tests/support/process.cc": "asks again for conditions that nothing announces",
    "tests/chaos/": "how long a fault lasts is what these tests vary",
    "storage/mysql_catalogue.cc": "nothing announces that the election's lock came free",
    "tests/support/producer.cc": "the pause of a retry",
    "tests/integration/storage/crash_writer.cc": "the pause of a retry, in a child process",
    "tests/integration/storage/fault_test.cc": "the interval of keeping alive is what it tests",
}
SLEEP = re.compile(r"this_thread::sleep|\busleep\s*\(|\bnanosleep\s*\(|(?<![\w.>:])(::)?sleep\s*\(")

# Headers that nothing includes, and why.
STANDS_ALONE = {}


class Tidy:
    """Goes through the rules and collects what offends them."""

    def __init__(self, root):
        self.root = root
        self.paths = sources.paths(root)
        self.violations = []
        self.texts = {}

    def text(self, path):
        if path not in self.texts:
            with open(os.path.join(self.root, path), encoding="utf-8", errors="replace") as file:
                self.texts[path] = file.read()
        return self.texts[path]

    def lines(self, path):
        return self.text(path).splitlines()

    def offend(self, path, line, what):
        self.violations.append(f"{path}:{line}: {what}")

    def of(self, endings):
        return [path for path in self.paths if path.endswith(endings)]

    def run(self):
        self.check_sizes()
        self.check_includes()
        self.check_words()
        self.check_tests()
        self.check_headers()
        self.check_cmake()
        return sorted(self.violations)

    def check_sizes(self):
        for path in self.of(SOURCES):
            lines = self.lines(path)
            ending = os.path.splitext(path)[1]
            columns_max = COLUMNS_MAX[ending]
            quoted = self.quoted_lines(path) if path.endswith(CPP) else ()
            for number, line in enumerate(lines, 1):
                if len(line) > columns_max and number not in quoted:
                    self.offend(path, number, f"{len(line)} columns, over {columns_max}")
            most = LINES_MAX.get(ending)
            if most is not None and len(lines) > most:
                self.offend(path, most + 1, f"{len(lines)} lines, over {most}: split it by noun")

    def quoted_lines(self, path):
        """Line numbers that belong to raw strings: their text cannot be wrapped."""
        quoted = set()
        text = self.text(path)
        for match in re.finditer(r'R"(\w*)\(.*?\)\1"', text, re.DOTALL):
            first = text.count("\n", 0, match.start()) + 1
            quoted.update(range(first, first + match.group().count("\n") + 1))
        return quoted

    def check_includes(self):
        for path in self.of(CPP):
            for number, line in enumerate(self.lines(path), 1):
                for pattern, folder in WRAPPED.items():
                    if (re.match(r"\s*#\s*include\s*" + pattern, line)
                            and not path.startswith(
                                (folder + "/", "tests/", "bench/", "examples/"))):
                        self.offend(path, number, f"only {folder}/ includes this library")
                match = re.match(r'\s*#\s*include\s*"([^"]+)"', line)
                if match is not None:
                    self.check_include(path, number, match.group(1))

    def check_include(self, path, number, included):
        generated = included.endswith(".pb.h")
        definition = included[:-len(".pb.h")] + ".proto" if generated else included
        if not os.path.isfile(os.path.join(self.root, definition)):
            self.offend(path, number, f'"{included}" is not a path from the top folder')
            return
        own = self.component(path)
        if own is None:
            return  # tests, benchmarks and the command-line tool may use all
        if included.startswith("tests/"):
            self.offend(path, number, f"{own}/ may not include tests/")
            return
        target = os.path.dirname(included)
        allowed = MAY_INCLUDE[own] + [own]
        if not any(target == folder or target.startswith(folder + "/") for folder in allowed):
            self.offend(path, number, f"{own}/ may not include {target}/")

    @staticmethod
    def component(path):
        prefixes = [name for name in MAY_INCLUDE if path.startswith(name + "/")]
        return max(prefixes, key=len) if prefixes else None

    def check_words(self):
        for path in self.paths:
            if path.startswith("tests/tidy/") or "/corpus/" in path or path.endswith(".png"):
                continue
            for number, line in enumerate(self.lines(path), 1):
                for word in MACHINE_PATHS + REGISTRY_HOSTS:
                    if re.search(r"(?<![\w/])" + re.escape(word), line):
                        self.offend(path, number, f"names {word}")
                if re.search(r"\b(FIXME|XXX|HACK)\b", line):
                    self.offend(path, number, "say what is wrong, or mend it")
                if re.search(r"\bTODO\b(?!\([^)]+\): \S)", line):
                    self.offend(path, number, "a TODO says what it waits for: TODO(cause): what")

    def check_tests(self):
        for path in self.of(CPP):
            for number, line in enumerate(self.lines(path), 1):
                if re.search(r"\bDISABLED_", line):
                    self.offend(path, number, "a test that does not run; mend or remove it")
                if re.search(r"\bGTEST_SKIP\(\)\s*;", line):
                    self.offend(path, number, "say why: GTEST_SKIP() << reason")
                if SLEEP.search(line.split("//")[0]) and not self.may_sleep(path, number):
                    self.offend(path, number, "sleeps; wait for a condition, or say why not")

    def may_sleep(self, path, number):
        lines = self.lines(path)
        above = lines[number - 2].lstrip() if number > 1 else ""
        return ("//" in lines[number - 1] or above.startswith("//")
                or path.startswith(tuple(MAY_SLEEP)))

    def check_headers(self):
        included = set()
        for path in self.of(CPP):
            included.update(re.findall(r'#\s*include\s*"([^"]+)"', self.text(path)))
        for path in self.of(".h"):
            lines = self.lines(path)
            if "#pragma once" not in lines:
                self.offend(path, 1, "has no #pragma once")
            if (path in included) == (path in STANDS_ALONE):
                self.offend(path, 1, "is included, and listed in STANDS_ALONE"
                            if path in included else "is included by nothing")
            for index, line in enumerate(lines):
                if re.match(r"class\s[^;]*$", line) and not line.rstrip().endswith(";"):
                    above = index - 1
                    while above >= 0 and re.match(r"(template\b|\[\[)", lines[above]):
                        above -= 1
                    if above < 0 or not lines[above].lstrip().startswith("//"):
                        self.offend(path, index + 1, "a class needs a comment: what it is, whose "
                                                     "thread, who owns what")

    def check_cmake(self):
        for path in self.of(".cc"):
            folder = os.path.dirname(path)
            named = False
            while not named:
                lists = os.path.join(folder, "CMakeLists.txt") if folder else "CMakeLists.txt"
                if lists in self.paths:
                    name = os.path.relpath(path, folder or ".")
                    named = re.search(r"(?<![\w./])" + re.escape(name) + r"(?![\w.])",
                                      self.text(lists)) is not None
                if not folder:
                    break
                folder = os.path.dirname(folder)
            if not named and not self.named_from_the_top(path):
                self.offend(path, 1, "no CMakeLists.txt above it compiles it")

    def named_from_the_top(self, path):
        """As in ${CMAKE_SOURCE_DIR}/tests/fuzz/replay_main.cc, out of a function."""
        return any("${CMAKE_SOURCE_DIR}/" + path in self.text(lists)
                   for lists in self.of(("CMakeLists.txt", ".cmake")))


def main(root):
    violations = Tidy(root).run()
    for violation in violations:
        print(violation)
    if violations:
        print(f"{len(violations)} violations")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
