"""A Hugging Face hub with a few models, for pods of the tests: what the real client asks for, and no more.

  --hold-back    two more files, of which each GET of /go gives one
  --busy=N       allows none of the first N requests (429)
  --break-off=N  closes the connection in the middle of the first N large files
  --expired=N    keeps large files elsewhere (this machine, as localhost), where the first N links have expired (403)
"""

import hashlib
import http.server
import json
import struct
import sys
import threading

# Each model with its commits, the first of which is `main`.
COMMIT, EARLIER = "c1899de289a04d12100db370d81485cdf75e47ca", "e6de91484c29aa9480d55605af694f39b081c455"
MODELS = {"Qwen/Qwen3-0.6B": [COMMIT, EARLIER], "team/draft": ["d" * 40], "team/adapter": ["a" * 40]}
# One that fits no claim.
MODELS["team/huge"] = ["e" * 40]
OPTIONS = dict(argument.lstrip("-").split("=") for argument in sys.argv[1:] if "=" in argument)
LEFT = {fault: int(OPTIONS.get(fault, 0)) for fault in ("busy", "break-off", "expired")}
LOCK = threading.Lock()


def happens(fault):
    """Whether a fault happens once more."""
    with LOCK:
        LEFT[fault] -= 1
        return LEFT[fault] >= 0


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
HELD = [f"held-{number}.bin" for number in (1, 2)] if "--hold-back" in sys.argv else []
GO = {file: threading.Event() for file in HELD}
FILES |= {file: file.encode() * (1 << 18) for file in HELD}


def content(name, commit):
    """Of an earlier commit, one file is another."""
    return b'{"model_type": "qwen2"}\n' if (name, commit) == ("config.json", EARLIER) else FILES[name]


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

    def give(self, name, commit):
        """The content of a file, or what of it is asked for."""
        body, status = content(name, commit), 200
        host = self.headers.get("Host", "")
        if "expired" in OPTIONS and len(body) > 100_000:
            if not host.startswith("localhost"):
                elsewhere = f"http://localhost:{self.server.server_port}{self.path}"
                linked = {"X-Linked-Etag": f'"{oid(body)}"', "X-Linked-Size": str(len(body)), "X-Repo-Commit": commit}
                return self.answer(302, b"", {"Location": elsewhere} | linked)
            if self.command == "GET" and happens("expired"):
                return self.answer(403, b"Request has expired", {})
        headers = {"ETag": f'"{oid(body)}"', "X-Repo-Commit": commit, "Content-Type": "application/octet-stream"}
        if self.command == "GET" and name in GO:
            return self.hold_back(name, headers)
        asked = self.headers.get("Range", "").removeprefix("bytes=").split("-")[0]
        if self.command == "GET" and asked.isdigit():
            headers["Content-Range"] = f"bytes {asked}-{len(body) - 1}/{len(body)}"
            body, status = body[int(asked) :], 206
        if self.command == "GET" and len(body) > 100_000 and happens("break-off"):
            print("GET", self.path, "broken off", flush=True)
            self.send_response(status)
            for key, value in (headers | {"Content-Length": str(len(body))}).items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
            return None
        return self.answer(status, body, headers)

    def do_GET(self):
        path = self.path.split("?")[0]
        name = path.rpartition("/")[2]
        parts = path.strip("/").split("/")
        model = "/".join(parts[2:4] if parts[0] == "api" else parts[:2])
        commits = MODELS.get(model, [])
        revision = parts[5] if len(parts) > 5 and parts[0] == "api" else "main"
        commit = next((known for known in commits if known == revision), commits[0] if revision == "main" and commits else None)
        if path == "/go":
            next(go for go in GO.values() if not go.is_set()).set()
            self.answer(200, b"", {})
        elif happens("busy"):
            self.answer(429, b'{"error": "Too many requests"}', {"Retry-After": "1"})
        elif path == "/api/whoami-v2":
            self.say({"type": "user", "name": "tester", "auth": {"accessToken": {"displayName": "t", "role": "read"}}})
        elif parts[0] == "api" and commits and commit is None:
            self.answer(404, b'{"error": "Invalid rev id"}', {"X-Error-Code": "RevisionNotFound"})
        elif path.startswith(f"/api/models/{model}/tree/") and commits:
            size = lambda file: len(content(file, commit))
            entry = lambda file: {"type": "file", "path": file, "size": size(file), "oid": oid(content(file, commit))}
            self.say([entry(file) for file in FILES])
        elif commits and (path == f"/api/models/{model}" or path.startswith(f"/api/models/{model}/revision/")):
            file = lambda file: {"rfilename": file, "size": len(content(file, commit)), "blobId": oid(content(file, commit))}
            known = {"private": False, "gated": False, "tags": [], "downloads": 0, "likes": 0}
            siblings = [file(name) for name in FILES]
            if model == "team/huge":
                siblings.append({"rfilename": "huge.safetensors", "size": 1 << 60, "blobId": "f" * 40})
            self.say({"_id": "1", "id": model, "modelId": model, "sha": commit, "siblings": siblings} | known)
        elif len(parts) == 5 and parts[2] == "resolve" and parts[3] in commits and name in FILES:
            self.give(name, parts[3])
        elif path.startswith("/api/models/"):
            self.answer(404, b'{"error": "Repository not found"}', {"X-Error-Code": "RepoNotFound"})
        else:
            self.answer(404, b"", {"X-Error-Code": "EntryNotFound"})

    do_HEAD = do_GET

    def log_message(self, *_):
        """Told by answer."""


def oid(body):
    return hashlib.sha1(body).hexdigest()


http.server.ThreadingHTTPServer(("", 8080), Hub).serve_forever()
