"""An empty file system, whose server a test can stop: then it is a network volume that answers no more.

What is known of its root stays known, so that a kubelet can still mount it. A test unmounts it, since a stopped server
cannot.
"""

import errno
import stat
import sys

import fusepy


class Empty(fusepy.Operations):
    def getattr(self, path, handle=None):
        if path != "/":
            raise fusepy.FuseOSError(errno.ENOENT)
        return {"st_mode": stat.S_IFDIR | 0o777, "st_nlink": 2}


fusepy.FUSE(Empty(), sys.argv[1], foreground=True, allow_other=True, attr_timeout=3600, entry_timeout=3600)
