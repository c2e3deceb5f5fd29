"""A tool for an agent: runs a shell command blind to the host's keys."""

import os
import subprocess


def run_shell_command(command, timeout=60, user=None):
    """Runs `command` under `keyblind run`; gives its redacted output and its status.

    Started by root it runs as `user`, which policy can name instead.
    """
    keyblind = os.environ.get("KEYBLIND_BIN", "keyblind")
    options = ["--user", user] if user else []
    done = subprocess.run(
        [keyblind, "run", *options, "--", "sh", "-c", command],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        timeout=timeout, errors="replace", check=False,
    )
    return {"output": done.stdout, "status": done.returncode}
