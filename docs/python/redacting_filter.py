"""A logging filter that hides secrets with one `keyblind redact` process."""

import json
import logging
import os
import subprocess
import threading


class RedactingFilter(logging.Filter):
    """Hides the values of `names` (environment variables) and whatever has the shape of a secret."""

    def __init__(self, names=()):
        super().__init__()
        command = [os.environ.get("KEYBLIND_BIN", "keyblind"), "redact", "--format", "jsonl"]
        for name in names:
            command += ["--redact-env", name]
        self._lock = threading.Lock()
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def filter(self, record):
        text = record.getMessage()
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        try:
            with self._lock:
                line = json.dumps([text, record.exc_text, record.stack_info])
                self._process.stdin.write(line.encode() + b"\n")
                self._process.stdin.flush()
                record.msg, record.exc_text, record.stack_info = json.loads(self._process.stdout.readline())
        except (OSError, ValueError):
            record.msg, record.exc_text, record.stack_info = "[withheld: keyblind redact has ended]", None, None
        record.args, record.exc_info = None, None
        return True

    def close(self):
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()
