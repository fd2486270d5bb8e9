"""Stands in for an engine in tests/try --node: says what it sees, and answers probes."""

import http.server
import os
import tempfile

for name in sorted(os.environ):
    if name.startswith(("HF_", "VLLM_")):
        print(f"  {name}={os.environ[name]}", flush=True)
for name in ("HF_HOME", "VLLM_CACHE_ROOT"):
    os.makedirs(os.environ[name], exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=os.environ[name]):
        print(f"  a file can be written below {name}", flush=True)


class Probe(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("", int(os.environ["DYN_SYSTEM_PORT"])), Probe).serve_forever()
