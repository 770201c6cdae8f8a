#!/usr/bin/env python3
"""Every rule of tidy.py finds what it is there for, and lets the rest pass."""

import os
import tempfile
import unittest

import tidy

GOOD = {
    "base/CMakeLists.txt": "add_component(base SOURCES a.cc)\n",
    "base/a.h": "#pragma once\n\n/// A thing.\nclass A {\n};\n\nclass Forward;\n",
    "base/a.cc": '#include "base/a.h"\n',
    "client/CMakeLists.txt": "add_component(client SOURCES nats/n.cc)\n",
    "client/nats/n.h": '#pragma once\n#include "base/a.h"\n',
    "client/nats/n.cc": '#include <nats/nats.h>\n#include "client/nats/n.h"\n',
    "proto/m.proto": 'syntax = "proto2";\n',
    "storage/CMakeLists.txt": "add_component(storage SOURCES s.cc)\n",
    "storage/s.h": "#pragma once\n",
    "storage/s.cc": '#include <mysql/mysql.h>\n#include "storage/s.h"\n',
    "controller/CMakeLists.txt": "add_program(p SOURCES main.cc)\n",
    "controller/main.cc": '#include "client/nats/n.h"\n#include "proto/m.pb.h"\n'
                          "// TODO(libfoo 2): use it\n",
}


class TidyTest(unittest.TestCase):
    def violations(self, changes=None):
        with tempfile.TemporaryDirectory() as root:
            for path, text in {**GOOD, **(changes or {})}.items():
                os.makedirs(os.path.join(root, os.path.dirname(path)), exist_ok=True)
                with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                    file.write(text)
            return tidy.Tidy(root).run()

    def expect(self, changes, *parts):
        found = self.violations(changes)
        self.assertEqual(len(found), 1, found)
        for part in parts:
            self.assertIn(part, found[0])

    def with_line(self, path, line):
        return {path: GOOD[path] + line + "\n"}

    def test_a_good_tree_passes(self):
        self.assertEqual(self.violations(), [])

    def test_columns(self):
        self.expect(self.with_line("base/a.cc", "// " + "x" * 98), "base/a.cc:2", "101 columns")
        self.assertEqual(self.violations(self.with_line("base/a.cc", "// " + "\u00e9" * 97)), [])

        raw = 'f(R"(\n' + "x" * 120 + '\n)");'
        self.assertEqual(self.violations(self.with_line("base/a.cc", raw)), [])
        self.expect(self.with_line("base/a.cc", raw + "\n" + "x" * 101), "base/a.cc:5")

    def test_lines(self):
        self.expect(self.with_line("base/a.h", "\n" * 300), "over 300")
        self.expect(self.with_line("base/a.cc", "\n" * 700), "over 700")

    def test_include_direction(self):
        self.expect(self.with_line("base/a.cc", '#include "storage/s.h"'),
                    "base/a.cc:2", "base/ may not include storage/")
        self.expect(self.with_line("storage/s.cc", '#include "client/nats/n.h"'),
                    "may not include client/nats/")
        self.expect({**self.with_line("controller/main.cc", '#include "client/c.h"'),
                     "client/c.h": "#pragma once\n"}, "controller/ may not include client/")
        self.expect({**self.with_line("base/a.cc", '#include "tests/support/t.h"'),
                     "tests/support/t.h": "#pragma once\n"}, "base/ may not include tests/")

    def test_includes_are_from_the_top(self):
        self.expect(self.with_line("base/a.cc", '#include "a.h"'), "not a path from the top")

    def test_wrapped_libraries(self):
        self.expect(self.with_line("controller/main.cc", "#include <nats/nats.h>"),
                    "only client/nats/")
        for header in ("mysql.h", "mysql/mysql.h", "mariadb/mysql.h", "mysql/errmsg.h"):
            self.expect(self.with_line("base/a.cc", f"#include <{header}>"), "only storage/")

    def test_words(self):
        for word in (tidy.MACHINE_PATHS[0] + "x", tidy.MACHINE_PATHS[1] + "x",
                     "https://" + tidy.REGISTRY_HOSTS[0] + "/x"):
            self.expect({"README.md": f"see {word}\n"} if "://" not in word
                        else {"README.md": f"see {word.split('//')[1]}\n"}, "README.md:1", "names")
        self.expect(self.with_line("base/a.cc", "// TODO mend"), "says what it waits for")
        self.expect(self.with_line("base/a.cc", "// FIX" + "ME"), "say what is wrong")

    def test_tests_run(self):
        self.expect(self.with_line("base/a.cc", "TEST(A, DISABLED_B) {}"), "does not run")
        self.expect(self.with_line("base/a.cc", "GTEST_SKIP();"), "say why")
        self.assertEqual(self.violations(self.with_line("base/a.cc", 'GTEST_SKIP() << "x";')), [])

    def test_sleeps(self):
        for call in ("std::this_thread::sleep_for(x);", "usleep(3);", " sleep(3);", "::sleep(3);"):
            self.expect(self.with_line("base/a.cc", call), "sleeps")
        for line in ("a.sleep(1);", "// sleep(1)", "::sleep(3);  // the rate", "// why\nsleep(3);"):
            self.assertEqual(self.violations(self.with_line("base/a.cc", line)), [])

    def test_headers(self):
        self.expect({"base/a.h": "/// A.\nclass A {};\n"}, "no #pragma once")
        self.expect({"base/b.h": "#pragma once\n"}, "base/b.h:1", "included by nothing")
        self.expect({"base/a.h": "#pragma once\n\nclass A {\n};\n"}, "base/a.h:3", "comment")
        self.expect({"base/a.h": "#pragma once\n\ntemplate <typename T>\nclass A {\n};\n"},
                    "base/a.h:4", "comment")

    def test_cmake_knows_every_source(self):
        self.expect({"base/b.cc": "\n"}, "base/b.cc:1", "CMakeLists.txt")
        self.expect({"base/aa.cc": "\n"}, "base/aa.cc:1")
        self.assertEqual(self.violations({"base/b.cc": "\n",
                                          "cmake/x.cmake": "${CMAKE_SOURCE_DIR}/base/b.cc\n"}), [])


if __name__ == "__main__":
    unittest.main()
