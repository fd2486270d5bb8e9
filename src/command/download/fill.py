"""Brings one commit of a model to the claim, by the Hugging Face client.

Writes the snapshot's folder, and the size of its files, to file descriptor 3. Ends with 3 where another attempt would end the same.
"""

import errno
import os
import random
import shutil
import sys
import threading
import time

# The log is read by people: no bars.
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")

try:
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.utils import filter_repo_objects
except ImportError as error:
    print(f"Error: the image has no Hugging Face client: {error}", file=sys.stderr)
    sys.exit(3)

MODEL, REVISION, HUB = (os.environ[name] for name in ("MODEL", "REVISION", "HF_HUB_CACHE"))
FOLDER = os.path.join(HUB, "models--" + MODEL.replace("/", "--"))
# How long attempts that bring nothing are repeated, and how long the first pauses are, in seconds.
RETRY_FOR = int(os.environ.get("RETRY_FOR", "1800"))
FIRST_PAUSE, LONGEST_PAUSE = 5, 300

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
    """The client has returned, and files are missing."""


def answer(error):
    """The answer of the hub that an error is about, or one of those that led to it."""
    while error is not None:
        response = getattr(error, "response", None)
        if response is not None:
            return error, response
        error = error.__cause__ or error.__context__
    return None, None


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
        if 400 <= status < 500 and status not in (408, 429):
            fail(f"the hub refuses {MODEL}: {first_line(cause)}")
        words = "allows no more requests for now" if status == 429 else "does not answer as it should"
        return f"the hub {words} (HTTP {status})", asked_pause(response.headers)
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


def arrived(missing):
    """The bytes of the missing files that are there by now."""
    count = sum(file[0] for file in missing if has(file))
    try:
        for entry in os.scandir(os.path.join(FOLDER, "blobs")):
            if entry.name.endswith(".incomplete"):
                count += entry.stat().st_blocks * 512
    except OSError:
        pass
    return count


def report(missing, total, ended):
    while not ended.wait(2):
        say(f"progress {min(arrived(missing), total)} of {total} bytes")


def attempt():
    """One attempt; the snapshot's folder and the size of its files. Not by the revision: what it names may change meanwhile."""
    info = HfApi().model_info(MODEL, revision=REVISION, files_metadata=True)
    files = list(files_of(info.sha, info.siblings or []))
    if not files:
        fail(f"no file of {MODEL} matches --include and --exclude" if options else f"{MODEL} has no files")
    missing = [file for file in files if not has(file)]
    needed = sum(file[0] for file in missing)
    room, total = free()
    if total and needed > room:
        fail(
            f"{MODEL} needs {size(needed)} more, and {size(room)} are free on the claim: enlarge it, "
            "or remove from it what is not needed"
        )
    say(f"phase downloading {info.sha}, {size(needed)} of {size(sum(file[0] for file in files))}")
    ended = threading.Event()
    reporter = threading.Thread(target=report, args=(missing, needed, ended), daemon=True)
    reporter.start()
    try:
        snapshot = snapshot_download(MODEL, revision=info.sha, allow_patterns=INCLUDE, ignore_patterns=EXCLUDE)
    finally:
        ended.set()
        reporter.join()
    lacking = [link for _, link, _ in files if not os.path.exists(link)]
    if lacking:
        # The client returns what it has where the hub stops answering.
        raise Incomplete(f"the hub stopped answering, {len(lacking)} of {len(files)} files are missing")
    return snapshot, sum(file[0] for file in files)


def stored():
    """The bytes of the model that are on the claim, by which one attempt differs from the last."""
    try:
        return sum(entry.stat().st_size for entry in os.scandir(os.path.join(FOLDER, "blobs")))
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
            begun, pause, before = time.monotonic(), FIRST_PAUSE, now
        wait = max(asked, pause * random.uniform(0.75, 1.25))
        if time.monotonic() - begun + wait > RETRY_FOR:
            fail(reason)
        say(f"phase {reason}; trying again in {wait:.0f} s")
        time.sleep(wait)
        pause = min(2 * pause, LONGEST_PAUSE)


snapshot, total = main()
os.write(3, f"{snapshot}\n{total}\n".encode())
