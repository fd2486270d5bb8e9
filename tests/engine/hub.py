"""A Hugging Face hub with the one model that a folder has: what the real client asks for, and no more.

Its commit is the hash of the files, so that another model has another commit, and a made-again one the same.
"""

import argparse
import hashlib
import http.server
import json
import pathlib


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--model", default="Qwen/Qwen3-0.6B")
    parser.add_argument("--address", default="")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--print-commit", action="store_true", help="say the commit, and serve nothing")
    return parser.parse_args()


OPTIONS = arguments()
FILES = {path.name: path.read_bytes() for path in sorted(OPTIONS.folder.iterdir()) if path.is_file()}
OIDS = {name: hashlib.sha1(content).hexdigest() for name, content in FILES.items()}
COMMIT = hashlib.sha1(json.dumps(OIDS).encode()).hexdigest()


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

    def say(self, value):
        self.answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def do_GET(self):
        path, model = self.path.split("?")[0], OPTIONS.model
        name = path.rpartition("/")[2]
        if path.startswith(f"/api/models/{model}/tree/"):
            self.say([{"type": "file", "path": file, "size": len(FILES[file]), "oid": OIDS[file]} for file in FILES])
        elif path == f"/api/models/{model}" or path.startswith(f"/api/models/{model}/revision/"):
            siblings = [{"rfilename": file, "size": len(FILES[file])} for file in FILES]
            known = {"private": False, "gated": False, "tags": [], "downloads": 0, "likes": 0}
            self.say({"_id": "1", "id": model, "modelId": model, "sha": COMMIT, "siblings": siblings} | known)
        elif path in (f"/{model}/resolve/{COMMIT}/{name}", f"/{model}/resolve/main/{name}") and name in FILES:
            headers = {"ETag": f'"{OIDS[name]}"', "X-Repo-Commit": COMMIT, "Content-Type": "application/octet-stream"}
            self.answer(200, FILES[name], headers)
        elif path.startswith("/api/models/"):
            self.answer(404, b'{"error": "Repository not found"}', {"X-Error-Code": "RepoNotFound"})
        else:
            self.answer(404, b"", {"X-Error-Code": "EntryNotFound"})

    do_HEAD = do_GET

    def log_message(self, *_):
        """What `answer` prints is enough."""


if OPTIONS.print_commit:
    print(COMMIT)
else:
    http.server.ThreadingHTTPServer((OPTIONS.address, OPTIONS.port), Hub).serve_forever()
