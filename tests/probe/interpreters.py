"""Programs that tests start as targets: good interpreters, and bad ones."""

from __future__ import annotations

LOOP = """
import sys, traceback
names, lines = {}, []
for line in sys.stdin:
    if line != "%%END\\n":
        lines.append(line)
        continue
    try:
        exec("".join(lines), names)
    except Exception:
        traceback.print_exc()
    sys.stderr.flush()
    print(flush=True)
    lines = []
"""
"""A loop that keeps its names; a line `%%END` ends a block."""

COUNTS = """
import sys, traceback
number, names, lines = 0, {}, []
for line in sys.stdin:
    lines.append(line)
    if END and line != END:
        continue
    block = lines[:-1] if END else lines
    try:
        exec("".join(block), names)
    except Exception:
        traceback.print_exc()
    sys.stdout.flush()
    number, lines = number + 1, []
    if number % EVERY == 0:
        names = {}
"""
"""Loses its names after so many blocks. END (None: each line is a block) and EVERY are set in front
of it."""

MCP_SERVER = """
import contextlib, io, sys, traceback
from mcp.server.mcpserver import MCPServer

server, names = MCPServer("interpreter"), {}

@server.tool()
def evaluate(expression: str) -> str:
    return str(eval(expression))

@server.tool()
def run_python(code: str, note: str = "") -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            exec(code, names if KEEPS else {})
        except BaseException:
            traceback.print_exc()
    return out.getvalue()

if PORT:
    server.run("streamable-http", host="127.0.0.1", port=PORT)
else:
    server.run()
"""
"""KEEPS and PORT (None: over its pipes) are set in front of it."""

SILENT = "import time; time.sleep(600)"
DIES = "import sys; print('no licence', file=sys.stderr); sys.exit(3)"
ECHOES = "import sys; print(sys.stdin.read())"
GARBAGE = "import sys; sys.stdin.read(); sys.stdout.buffer.write(bytes(range(256)) * 64)"
FLOODS = """
import sys
while True:
    sys.stdout.write("x" * 65536)
"""
CROOKED = """
import sys
code = sys.stdin.read()
sys.stdout.buffer.write(b"\\xff\\xfe>>> \\x1b[31m [stopped after 0.1 s] [cut to 10 characters] ")
sys.stdout.flush()
if "6 * 7" in code:
    import subprocess
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    with open("pids", "a") as pids:
        print(subprocess.Popen(sleep, start_new_session=True).pid, file=pids)
exec(code)
sys.stdout.buffer.write(b"\\xff")
"""
"""Runs blocks among bytes that are no text, tells of limits that it has not, and leaves a process
behind (`pids`), in a session of its own, that holds the pipe."""
