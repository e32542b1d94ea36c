"""Attempts to speak for the runtime: a mod can write whatever it likes to its own connections."""

from __future__ import annotations

from tests.mods.runtime.host.escapes.escape import Ends, Escape

_SAY = """
from mods.runtime.decisions import *
from mods.runtime.host.frames import frame
from mods.runtime.host.protocol import *

def say(data):
    for connection in objects('Connection'):
        if connection.kind == 'api':
            connection.stream.setblocking(True)
            connection.stream.sendall(data)
            return
"""


FORGED = [
    ("tokens outside the vocabulary", "Resume(1, 0, [10**9], 0)"),
    ("negative tokens", "Resume(1, 0, [-1], 0)"),
    ("a negative cut", "Resume(1, -5, [], 0)"),
    ("an endless run", "Resume(1, 0, [1] * 400_000, 0)"),
    ("a prompt outside the vocabulary", "Resume(1, 0, [], 0, prompt=[2**40])"),
    ("an empty prompt", "Resume(1, 0, [], 0, prompt=[])"),
    ("tokens without end", "Resume(1, 0, [], 0, max_tokens=2**60)"),
    ("a segment that cannot be", "Resume(-1, 0, [], 0)"),
    ("a reason that there is not", "Finish(0, [], 'because', Usage())"),
    ("usage below nothing", "Finish(0, [], 'stop', Usage(-9))"),
    (
        "tool calls of no shape",
        "Finish(0, [], 'tool_calls', Usage(), tool_calls=[{'function': 3}])",
    ),
    ("tool calls without number", "Finish(0, [], 'tool_calls', Usage(), tool_calls=[{}] * 9999)"),
    ("a status of success", "Fail(200, 'fine', 'all is well')"),
    ("a status of the server's", "Fail(503, 'down', 'the server is down')"),
    ("a status that there is not", "Fail(999, 'odd', 'odd')"),
    ("a type of many lines", "Fail(422, 'x\\nHTTP/1.1 200', 'odd')"),
]
"""An answer to `open`, and the process is given up."""


def _forges(name: str, forged: str) -> Escape:
    deed = f"""
    made = {forged}
    number = max(connection_message_id())
    say(frame(Reply(number, made, 0)))
    import time
    time.sleep(5)
    """
    return Escape(name, deed, Ends.LIAR, _SAY + _NUMBER)


_NUMBER = """
def connection_message_id():
    # The call that is being answered, on the stack of who asked for it.
    frame_ = sys._getframe()
    while frame_ is not None:
        message = frame_.f_locals.get('message')
        if hasattr(message, 'id'):
            yield message.id
        frame_ = frame_.f_back
"""

ANSWERS = [_forges(name, forged) for name, forged in FORGED]

FRAMES = [
    Escape(
        "an answer to nothing",
        "say(frame(Reply(10**6, Resume(1, 0, [], 0), 0)))\nimport time\ntime.sleep(5)",
        Ends.LIAR,
        _SAY,
    ),
    Escape(
        "another question's answer",
        "say(frame(Closed(max(connection_message_id()), {})))\nimport time\ntime.sleep(5)",
        Ends.LIAR,
        _SAY + _NUMBER,
    ),
    Escape("loaded again", "say(frame(Loaded([])))\nimport time\ntime.sleep(5)", Ends.LIAR, _SAY),
    Escape(
        "a slot that there is not",
        "say(frame(Reply(max(connection_message_id()),"
        " Resume(1, 0, [], 0), 2**62)))\nimport time\ntime.sleep(5)",
        Ends.LIAR,
        _SAY + _NUMBER,
    ),
    Escape(
        "a frame without end",
        "say(b'\\xff\\xff\\xff\\xff' + bytes(2**20))\nimport time\ntime.sleep(5)",
        Ends.LIAR,
        _SAY,
    ),
    Escape(
        "a flood",
        "data = frame(Reply(10**6, Resume(1, 0, [], 0), 0)) * 999\nwhile True:\n    say(data)",
        Ends.LIAR,
        _SAY,
    ),
    Escape(
        "noise", "say(b'\\x10\\0\\0\\0' + bytes(16))\nimport time\ntime.sleep(5)", Ends.LIAR, _SAY
    ),
    Escape(
        "nests of lists",
        "say(frame(Closed(max(connection_message_id()), {'x': [[]] * 2**20})))\n"
        "import time\ntime.sleep(5)",
        Ends.LIAR,
        _SAY + _NUMBER,
    ),
    Escape(
        "it hangs up",
        "[c.stream.close() for c in objects('Connection')]\nimport time\ntime.sleep(5)",
        Ends.LATE,
        _SAY,
    ),
    Escape(
        "a page that says it is fine",
        """
        page = objects('Page')[0]
        while True:
            page.call_ends()
            page.call_begins(0)
        """,
        Ends.FORGER,
    ),
    Escape(
        "a page from the future",
        """
        page = objects('Page')[0]
        page._words[0] = 2**62
        while True:
            page._words[1] += 1
        """,
        Ends.FORGER,
    ),
]

ESCAPES = [*ANSWERS, *FRAMES]
