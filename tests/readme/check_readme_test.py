"""The checker of the documentation must fail where the documentation is wrong."""

import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import check_readme  # noqa: E402


class CheckReadmeTest(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        root = pathlib.Path(temporary.name)
        self.source, tree, self.folder = root / "source", root / "tree", root / "work"
        for path in (self.source, tree / "bin", self.folder):
            path.mkdir(parents=True)
        (self.source / "Makefile").write_text("known:\n\t@exit 1\n")
        (tree / "bin" / "vicinal").write_text("#!/bin/sh\n[ \"$1\" = works ]\n")
        (tree / "bin" / "vicinal").chmod(0o755)
        self.runner = check_readme.Runner(self.source, tree, "cmake", "c++", self.folder)

    def check(self, text, everything=True):
        document = self.source / "README.md"
        document.write_text(text)
        return check_readme.check_document(document, everything, self.runner)

    def test_commands_that_work_are_counted(self):
        self.assertEqual(self.check("```sh\nvicinal works\n```\nand `vicinal works`, not `vicinal`"), 2)

    def test_a_failing_command_fails(self):
        with self.assertRaisesRegex(check_readme.Failure, "README.md:2: exit status 1"):
            self.check("```sh\nvicinal fails\n```\n")

    def test_a_failing_command_before_the_last_fails(self):
        with self.assertRaises(check_readme.Failure):
            self.check("```sh\nvicinal fails\nvicinal works\n```\n")

    def test_a_failing_command_in_running_text_fails(self):
        with self.assertRaises(check_readme.Failure):
            self.check("say `vicinal fails`")

    def test_the_readme_may_leave_out_nothing(self):
        with self.assertRaisesRegex(check_readme.Failure, "language 'console'"):
            self.check("```console\nvicinal works\n```\n")
        self.assertEqual(self.check("```console\nvicinal fails\n```\n", everything=False), 0)

    def test_python_and_its_output_are_left_to_another_checker(self):
        self.assertEqual(self.check("```python\nfails\n```\n```text\nvicinal fails\n```\n```sh\nvicinal works\n```\n"), 1)

    def test_make_needs_the_target_and_does_not_run_it(self):
        self.assertEqual(self.check("```sh\nmake known\n```\n"), 1)
        with self.assertRaisesRegex(check_readme.Failure, "unknown"):
            self.check("```sh\nmake unknown\n```\n")

    def test_a_program_that_does_not_compile_fails(self):
        with self.assertRaises(check_readme.Failure):
            self.check("```cpp\nint main() { return nothing; }\n```\n")

    def test_a_block_without_end_fails(self):
        with self.assertRaisesRegex(check_readme.Failure, "not closed"):
            self.check("```sh\nvicinal works\n")

    def test_a_link_to_nowhere_fails(self):
        with self.assertRaisesRegex(check_readme.Failure, "docs/none.md"):
            self.check("[this](docs/none.md)")
        self.assertEqual(self.check("[this](README.md#map) [that](https://example.org)"), 0)

    def test_a_link_to_nowhere_in_the_guide_fails(self):
        guide = self.source / "docs" / "guide"
        guide.mkdir(parents=True)
        (guide / "page.md").write_text("[this](../../Makefile)\n```sh\nvicinal fails\n```\n")
        check_readme.check_guide_links(self.source)
        (guide / "page.md").write_text("[this](none.md)")
        with self.assertRaisesRegex(check_readme.Failure, "page.md: the link to none.md"):
            check_readme.check_guide_links(self.source)


if __name__ == "__main__":
    unittest.main()
