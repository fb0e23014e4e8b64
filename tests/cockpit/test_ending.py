"""The cockpit ends when it is asked to: quietly, with nothing left, whatever it is doing."""

import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

pytest.importorskip("uvicorn", reason="needs raygrad[cockpit]")

from cockpit_cases import small_session

from raygrad._cockpit import Serving
from raygrad._errors import InputError

PROGRAM = """
import sys, threading
sys.path.append(sys.argv[1])
from cockpit_cases import small_session
from raygrad._cockpit import Serving
session = small_session()
begun = threading.Event()
def work(job):
    begun.set()
    while not job.tell(share=0.5):
        pass
if sys.argv[2] == "job":
    session.jobs.start("Register", work)
    begun.wait()
serving = Serving(session)
if sys.argv[2] == "drop":
    sys.exit(0)
print(serving.url, flush=True)
serving.run(open_browser=False)
print("ended", flush=True)
"""


def begin(tmp_path, how):
    cases = Path(__file__).parents[1] / "cases"
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, str(program), str(cases), how]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.subprocess
@pytest.mark.skipif(sys.platform == "win32", reason="signals of this kind are POSIX's")
@pytest.mark.parametrize(("how", "kind"), [("plain", signal.SIGINT), ("plain", signal.SIGTERM), ("job", signal.SIGINT)])
def test_it_ends_when_it_is_asked_to(tmp_path, how, kind):
    process = begin(tmp_path, how)
    url = process.stdout.readline()
    assert url.startswith("http://127.0.0.1:")
    port = int(url.split(":")[2].split("/")[0])
    with socket.create_connection(("127.0.0.1", port), timeout=20) as open_page:
        open_page.sendall(f"GET /app.js HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        assert open_page.recv(20).startswith(b"HTTP/1.1 200")  # it runs, not only listens
        process.send_signal(kind)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "ended\n", "")


@pytest.mark.subprocess
def test_a_program_that_forgets_a_session_ends_too(tmp_path):
    process = begin(tmp_path, "drop")
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "", "")


def test_a_port_that_is_taken_is_said():
    session = small_session()
    first = Serving(session)  # listens, though nothing runs yet
    port = int(first.url.split(":")[2].split("/")[0])
    with pytest.raises(InputError, match=f"Port {port} is not free.*--port"):
        Serving(session, port)
    first.close()
    session.close()


def test_a_session_whose_job_runs_closes():
    session, ended = small_session(), threading.Event()

    def work(job):
        while not job.tell(text="on the way"):
            pass
        ended.set()

    session.jobs.start("Register", work)
    Serving(session).start().close()
    assert ended.is_set()
    assert not session.drawing.is_alive()
    assert session.jobs.current is None
