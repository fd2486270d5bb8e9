"""Stands in for an engine, as python3 -m dynamo.vllm: loads a model, compiles, serves, and says what it sees.

It knows what an engine knows: the name of the model, and its environment. Nothing here knows of dynamo-cache.
"""

import argparse
import hashlib
import http.server
import json
import os
import pathlib
import signal
import socket
import struct
import sys
import urllib.request

import huggingface_hub


def say(*words):
    print(*words, flush=True)


def look_around():
    say("user", os.getuid(), "group", os.getgid())
    for name in sorted(os.environ):
        if name.startswith(("HF_", "VLLM_", "XDG_")):
            say("environment", f"{name}={os.environ[name]}")
    for line in open("/proc/mounts"):
        _, path, _, options = line.split()[:4]
        if path.startswith("/home/dynamo"):
            say("mount", path, options.split(",")[0])
    try:
        urllib.request.urlopen(os.environ["HF_ENDPOINT"], timeout=2)
        say("network there")
    except OSError as why:
        say("network gone:", why)


def load(model):
    """What the client finds, by its own means."""
    try:
        folder = pathlib.Path(huggingface_hub.snapshot_download(model))
    except Exception as why:  # the client has many
        say("no model:", type(why).__name__, str(why).split("\n")[0])
        sys.exit(1)
    say("model", folder)
    say("config", f"model_type={json.loads((folder / 'config.json').read_text())['model_type']}")
    content = (folder / "model.safetensors").read_bytes()
    (length,) = struct.unpack_from("<Q", content)
    tensors = json.loads(content[8 : 8 + length])
    end = max(tensor["data_offsets"][1] for tensor in tensors.values())
    assert len(content) == 8 + length + end, "the file is not whole"
    say("weights", len(tensors), "tensor", len(content), "bytes, sha256", hashlib.sha256(content).hexdigest()[:12])


def compile(variable, kind):
    """Leaves a file for others, and says whose are there already."""
    place = pathlib.Path(os.environ[variable], kind)
    place.mkdir(parents=True, exist_ok=True)
    for other in sorted(place.iterdir()):
        say("found", variable, "by", other.name)
    mine = place / socket.gethostname()
    mine.write_text("compiled\n")
    say("compiled", variable, mine)


class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
parser = argparse.ArgumentParser()
parser.add_argument("--model", required=True)
look_around()
load(parser.parse_args().model)
compile("VLLM_CACHE_ROOT", "torch_compile_cache")
say("serving")
http.server.ThreadingHTTPServer(("", int(os.environ["DYN_SYSTEM_PORT"])), Health).serve_forever()
