"""A Hugging Face hub with one model, for pods of the tests: what the real client asks for, and no more."""

import hashlib
import http.server
import json
import struct
import sys
import threading

MODEL, COMMIT = "Qwen/Qwen3-0.6B", "c1899de289a04d12100db370d81485cdf75e47ca"


def weights():
    """One tensor, in the format that engines read."""
    data = struct.pack("<65536f", *range(65536))
    tensor = {"dtype": "F32", "shape": [256, 256], "data_offsets": [0, len(data)]}
    header = json.dumps({"model.embed_tokens.weight": tensor}).encode()
    return struct.pack("<Q", len(header)) + header + data


FILES = {
    "config.json": b'{"model_type": "qwen3", "hidden_size": 256}\n',
    "model.safetensors": weights(),
    "tokenizer.json": b'{"version": "1.0"}\n',
}


# Files that come to their end only when somebody says go, one for each time.
HELD = [f"held-{number}.bin" for number in (1, 2)] if sys.argv[1:] == ["--hold-back"] else []
GO = {file: threading.Event() for file in HELD}
FILES |= {file: file.encode() * (1 << 18) for file in HELD}


class Hub(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body, headers):
        print(self.command, self.path, status, flush=True)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def hold_back(self, name, headers):
        """A byte now and then, so that the client does not give up, and the rest when it may go."""
        print("GET", self.path, "held back", flush=True)
        self.send_response(200)
        for key, value in (headers | {"Content-Length": str(len(FILES[name]))}).items():
            self.send_header(key, value)
        self.end_headers()
        given = 0
        while not GO[name].wait(1):
            self.wfile.write(FILES[name][given : given + 1])
            given += 1
        self.wfile.write(FILES[name][given:])

    def say(self, value):
        self.answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def do_GET(self):
        path = self.path.split("?")[0]
        name = path.rpartition("/")[2]
        if path.startswith(f"/api/models/{MODEL}/tree/"):
            entry = lambda file: {"type": "file", "path": file, "size": len(FILES[file]), "oid": oid(file)}
            self.say([entry(file) for file in FILES])
        elif path == f"/api/models/{MODEL}" or path.startswith(f"/api/models/{MODEL}/revision/"):
            siblings = [{"rfilename": file, "size": len(FILES[file])} for file in FILES]
            known = {"private": False, "gated": False, "tags": [], "downloads": 0, "likes": 0}
            self.say({"_id": "1", "id": MODEL, "modelId": MODEL, "sha": COMMIT, "siblings": siblings} | known)
        elif path == f"/{MODEL}/resolve/{COMMIT}/{name}" and name in FILES:
            headers = {"ETag": f'"{oid(name)}"', "X-Repo-Commit": COMMIT, "Content-Type": "application/octet-stream"}
            if self.command == "GET" and name in GO:
                self.hold_back(name, headers)
            else:
                self.answer(200, FILES[name], headers)
        elif path == "/go":
            next(go for go in GO.values() if not go.is_set()).set()
            self.answer(200, b"", {})
        elif path.startswith("/api/models/"):
            self.answer(404, b'{"error": "Repository not found"}', {"X-Error-Code": "RepoNotFound"})
        else:
            self.answer(404, b"", {"X-Error-Code": "EntryNotFound"})

    do_HEAD = do_GET

    def log_message(self, *_):
        """Told by answer."""


def oid(name):
    return hashlib.sha1(FILES[name]).hexdigest()


http.server.ThreadingHTTPServer(("", 8080), Hub).serve_forever()
