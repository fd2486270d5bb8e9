"""Brings one commit of a model to the claim, by the Hugging Face client.

Writes the snapshot's folder, and the size of its files, to file descriptor 3. Ends with 3 where another attempt would end the same.
"""

import contextlib
import errno
import os
import random
import shutil
import sys
import tempfile
import threading
import time
from urllib.parse import urlsplit

# The log is read by people: no bars.
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")

try:
    from huggingface_hub import HfApi, constants, snapshot_download
    from huggingface_hub.utils import filter_repo_objects
except ImportError as error:
    print(f"Error: the image has no Hugging Face client: {error}", file=sys.stderr)
    sys.exit(3)

MODEL, REVISION, HUB = (os.environ[name] for name in ("MODEL", "REVISION", "HF_HUB_CACHE"))
FOLDER = os.path.join(HUB, "models--" + MODEL.replace("/", "--"))
# How long attempts that bring nothing are repeated, and how long the first pauses are, in seconds.
RETRY_FOR = int(os.environ.get("RETRY_FOR", "1800"))
FIRST_PAUSE, LONGEST_PAUSE = 5, 300
# How often what has arrived is counted and shown, in seconds.
INTERVAL = 2
# A file in progress to which no pod has written for so many seconds is of one that was killed: the client neither goes on with it
# nor removes it.
ABANDONED_AFTER = 600

options = list(zip(sys.argv[1::2], sys.argv[2::2]))
INCLUDE = [value for option, value in options if option == "--include"] or None
EXCLUDE = [value for option, value in options if option == "--exclude"] or None


def size(count):
    """As `dynamo-cache` writes it."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 10 * 1024:
            return f"{count} {unit}"
        count //= 1024
    return f"{count} TiB"


def say(line):
    print(line, flush=True)


def fail(reason):
    say(f"Error: {reason}")
    sys.exit(3)


class Incomplete(Exception):
    """Files are missing, for a reason that may pass."""


def answer(error):
    """The answer of the hub that an error is about, or one of those that led to it."""
    while error is not None:
        response = getattr(error, "response", None)
        if response is not None:
            return error, response
        error = error.__cause__ or error.__context__
    return None, None


def host(url):
    """The name and the port of a URL."""
    parts = urlsplit(url)
    return parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def give_up_or(error):
    """Ends where another attempt would end the same; else the reason, and the pause that the hub asks for, in seconds."""
    cause, response = answer(error)
    if response is not None:
        status, kind = response.status_code, type(cause).__name__
        if kind == "GatedRepoError":
            fail(f"the hub gives {MODEL} only to those whom its owners let in, and this token is of none (HTTP {status})")
        if kind == "RevisionNotFoundError":
            fail(f"{MODEL} has no revision {REVISION} at the hub (HTTP {status})")
        if kind == "RepositoryNotFoundError":
            fail(f"the hub has no model {MODEL} that this token may read (HTTP {status})")
        # The hub sends the client on to the storage of its files, with a signature that may have expired meanwhile.
        is_hub = host(str(response.url)) == host(constants.ENDPOINT)
        if is_hub and 400 <= status < 500 and status not in (408, 429):
            fail(f"the hub refuses {MODEL}: {first_line(cause)}")
        who = "the hub" if is_hub else "the storage of the hub"
        words = "allows no more requests for now" if status == 429 else "does not answer as it should"
        return f"{who} {words} (HTTP {status})", asked_pause(response.headers)
    # What Xet writes fails with an error of its own, which has the words of the system's.
    words, number = str(error), getattr(error, "errno", None)
    if number in (errno.EACCES, errno.EPERM, errno.EROFS) or any(os.strerror(number) in words for number in (errno.EACCES, errno.EROFS)):
        fail(f"the claim cannot be written: {first_line(error)}")
    if number in (errno.ENOSPC, errno.EDQUOT) or any(os.strerror(number) in words for number in (errno.ENOSPC, errno.EDQUOT)):
        fail(f"the claim is full ({size(free()[0])} free): enlarge it, or remove from it what is not needed")
    if isinstance(error, Incomplete):
        return str(error), 0
    if isinstance(error, (AttributeError, ImportError, NameError, TypeError, ValueError)):
        fail(f"the client failed: {type(error).__name__}: {first_line(error)}")
    return f"the hub cannot be reached: {first_line(error)}", 0


def first_line(error):
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def asked_pause(headers):
    """What `Retry-After` asks for, or the rate limit (`"api";r=0;t=57`)."""
    asked = [headers.get("retry-after", "")]
    asked += [part[2:] for part in headers.get("ratelimit", "").split(";") if part.startswith("t=")]
    return max((int(text) for text in asked if text.isdigit()), default=0)


def free():
    """What is free on the claim, and its size; a size of 0 where the file system does not say."""
    usage = shutil.disk_usage(HUB)
    return usage.free, usage.total


def files_of(commit, siblings):
    """The files to have, each with its size, the place of its link and that of its content."""
    wanted = set(filter_repo_objects([file.rfilename for file in siblings], allow_patterns=INCLUDE, ignore_patterns=EXCLUDE))
    for file in siblings:
        if file.rfilename in wanted:
            content = getattr(file.lfs, "sha256", None) or file.blob_id
            link = os.path.join(FOLDER, "snapshots", commit, file.rfilename)
            yield file.size or 0, link, os.path.join(FOLDER, "blobs", content) if content else None


def has(file):
    _, link, content = file
    return os.path.exists(link) or (content is not None and os.path.exists(content))


def in_progress():
    """The files that are not complete, of this pod or another: path, bytes that are stored, time of the last write."""
    try:
        for entry in os.scandir(os.path.join(FOLDER, "blobs")):
            if entry.name.endswith(".incomplete"):
                about = entry.stat()
                yield entry.path, about.st_blocks * 512, about.st_mtime
    except OSError:
        pass


def remove_abandoned():
    """Removes what killed pods have left. Returns the bytes of what is not complete and may yet be removed."""
    found, left = list(in_progress()), 0
    if found:
        # By the clock of the server that has the files.
        with tempfile.TemporaryFile(dir=FOLDER) as file:
            now = os.fstat(file.fileno()).st_mtime
    for path, count, written in found:
        if now - written > ABANDONED_AFTER:
            say(f"phase removing {size(count)} of a download that was killed")
            # The Job of another revision may be here at the same time.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        else:
            left += count
    return left


def arrived(missing):
    """The bytes of the missing files that are there by now."""
    return sum(file[0] for file in missing if has(file)) + sum(count for _, count, _ in in_progress())


class Progress:
    """Shows what has arrived, while an attempt runs."""

    # The seconds of all attempts in which something arrived: a single large file may take longer than RETRY_FOR, and then break off.
    productive = 0

    def __init__(self, missing, total):
        self.missing, self.total, self.ended = missing, total, threading.Event()
        self.thread = threading.Thread(target=self.show, daemon=True)

    def __enter__(self):
        self.thread.start()

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()

    def show(self):
        before, looked = arrived(self.missing), time.monotonic()
        while not self.ended.wait(INTERVAL):
            count, now = arrived(self.missing), time.monotonic()
            say(f"progress {min(count, self.total)} of {self.total} bytes")
            if count > before:
                Progress.productive += now - looked
            before, looked = count, now


def attempt():
    """One attempt; the snapshot's folder and the size of its files. Not by the revision: what it names may change meanwhile."""
    info = HfApi().model_info(MODEL, revision=REVISION, files_metadata=True)
    files = list(files_of(info.sha, info.siblings or []))
    if not files:
        fail(f"no file of {MODEL} matches --include and --exclude" if options else f"{MODEL} has no files")
    missing = [file for file in files if not has(file)]
    needed = sum(file[0] for file in missing)
    others = remove_abandoned()
    room, total = free()
    if total and needed > room:
        lacks = f"{MODEL} needs {size(needed)} more, and {size(room)} are free on the claim"
        if needed <= room + others:
            raise Incomplete(f"{lacks}, where another download has {size(others)} in progress, or left them")
        fail(f"{lacks}: enlarge it, or remove from it what is not needed")
    say(f"phase downloading {info.sha}, {size(needed)} of {size(sum(file[0] for file in files))}")
    with Progress(missing, needed):
        snapshot = snapshot_download(MODEL, revision=info.sha, allow_patterns=INCLUDE, ignore_patterns=EXCLUDE)
    lacking = [link for _, link, _ in files if not os.path.exists(link)]
    if lacking:
        # The client returns what it has where the hub stops answering.
        raise Incomplete(f"the hub stopped answering, {len(lacking)} of {len(files)} files are missing")
    return snapshot, sum(file[0] for file in files)


def stored():
    """The bytes of the model's complete files, by which one attempt differs from the last."""
    try:
        files = os.scandir(os.path.join(FOLDER, "blobs"))
        return sum(file.stat().st_size for file in files if not file.name.endswith(".incomplete"))
    except OSError:
        return 0


def main():
    begun, pause, before = time.monotonic(), FIRST_PAUSE, stored()
    while True:
        try:
            return attempt()
        except Exception as error:
            reason, asked = give_up_or(error)
        now = stored()
        if now > before:
            begun, pause, before, Progress.productive = time.monotonic(), FIRST_PAUSE, now, 0
        wait = max(asked, pause * random.uniform(0.75, 1.25))
        if time.monotonic() - begun - Progress.productive + wait > RETRY_FOR:
            fail(reason)
        say(f"phase {reason}; trying again in {wait:.0f} s")
        time.sleep(wait)
        pause = min(2 * pause, LONGEST_PAUSE)


snapshot, total = main()
os.write(3, f"{snapshot}\n{total}\n".encode())
