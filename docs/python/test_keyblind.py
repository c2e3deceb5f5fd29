"""Tests of the two modules, on the real binary."""

import io
import logging
import os
import tempfile
import unittest

from redacting_filter import RedactingFilter
from shell_tool import run_shell_command

SECRET = "zx81-c64-" + "amiga-500"


class Filter(unittest.TestCase):
    def setUp(self):
        os.environ["PLANTED_PASSWORD"] = SECRET
        self.out = io.StringIO()
        self.log = logging.Logger("test")
        handler = logging.StreamHandler(self.out)
        self.filter = RedactingFilter(["PLANTED_PASSWORD"])
        handler.addFilter(self.filter)
        self.log.addHandler(handler)
        self.addCleanup(self.filter.close)

    def test_message_arguments_and_traceback(self):
        self.log.warning("with %s and \"%s\"", SECRET, "\u00f6\n")
        try:
            raise ValueError(SECRET)
        except ValueError:
            self.log.exception("failed")
        text = self.out.getvalue()
        self.assertNotIn(SECRET, text)
        self.assertIn("with [REDACTED:PLANTED_PASSWORD] and \"\u00f6\n\"", text)
        self.assertIn("ValueError: [REDACTED:PLANTED_PASSWORD]", text)

    def test_what_is_no_secret_stays(self):
        self.log.warning("%d of %d done, 100%%", 1, 2)
        self.assertEqual(self.out.getvalue(), "1 of 2 done, 100%\n")

    def test_a_dead_process_withholds(self):
        self.filter.close()
        self.log.warning("with %s", SECRET)
        self.assertNotIn(SECRET, self.out.getvalue())


class Tool(unittest.TestCase):
    def test_a_variable_does_not_reach_the_command(self):
        os.environ["PLANTED_PASSWORD"] = SECRET
        user = "nobody" if os.geteuid() == 0 else None
        with tempfile.TemporaryDirectory() as place:
            os.chmod(place, 0o755)
            self.addCleanup(os.chdir, os.getcwd())
            os.chdir(place)
            done = run_shell_command("env; echo " + SECRET + "; exit 3", user=user)
        self.assertNotIn(SECRET, done["output"])
        self.assertEqual(done["status"], 3)


if __name__ == "__main__":
    unittest.main()
