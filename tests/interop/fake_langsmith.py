# SPDX-License-Identifier: Apache-2.0
"""A LangSmith that remembers the runs it is sent by multipart."""

import email
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FakeLangSmith:
    def __init__(self):
        self._lock = threading.Lock()
        self._runs = {}
        self.problems = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def runs(self, trace_id):
        """The runs of a trace by id, each as its parts said together."""
        with self._lock:
            return {key: dict(run) for key, run in self._runs.items() if run.get("trace_id") == trace_id}

    def _take(self, content_type, body):
        message = email.message_from_bytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
        for part in message.get_payload():
            kind, run_id, *field = part.get_param("name", header="content-disposition").split(".", 2)
            if kind not in ("post", "patch"):
                continue
            value = json.loads(part.get_payload(decode=True))
            changes = {field[0]: value} if field else value
            with self._lock:
                run = self._runs.setdefault(run_id, {})
                run.update({key: new for key, new in changes.items() if new not in (None, {})})

    def _handler(fake):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                self._reply(200 if self.path == "/info" else 404)

            def do_POST(self):
                body = self._body()
                try:
                    if self.path != "/runs/multipart":
                        raise ValueError(f"POST {self.path}")
                    fake._take(self.headers["Content-Type"], body)
                    self._reply(202)
                except Exception as problem:
                    fake.problems.append(repr(problem))
                    self._reply(422)

            def _body(self):
                if self.headers["Transfer-Encoding"] != "chunked":
                    return self.rfile.read(int(self.headers["Content-Length"]))
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return body

            def _reply(self, status):
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):
                pass

        return Handler
