"""Become another program, as the right user, and never outlive the process that asked for it.

    python -I -S launch.py PARENT_PID DEATH_SIGNAL IDENTITY PROGRAM [ARGUMENT...]

IDENTITY is `same`; `namespace` (root only looks like uid 65534, in a user namespace, so that
every file stays root's); or `UID:GID` (really become that user). It imports nothing of ours and
runs without `site`, because it is on the way of every start.

The order is the point. Linux forgets the death signal when credentials change, so it is asked
for after them; and the parent may have died before it was asked for, so its pid is compared
afterwards. The signal belongs to the parent's *thread*: see `process.spawn`.
"""

import ctypes
import os
import signal
import sys
from pathlib import Path

CLONE_NEWUSER = 0x10000000  # linux/sched.h
PR_SET_PDEATHSIG = 1  # linux/prctl.h
UNPRIVILEGED = 65534  # `nobody`, and the id that a namespace shows for what it does not map


def enter_namespace() -> None:
    """Be uid 65534 in a new user namespace that maps only that id, to who we are now.

    Programs that refuse root are content, what they write belongs to us, and nothing outside has
    to change owner. Raises OSError where the kernel or a container forbids it.
    """
    uid, gid = os.getuid(), os.getgid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWUSER) was refused")
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{UNPRIVILEGED} {uid} 1"),
        ("gid_map", f"{UNPRIVILEGED} {gid} 1"),
    ):
        Path("/proc/self", name).write_text(text, "ascii")


def become(identity: str) -> None:
    """Take on an identity; raises OSError when that is not allowed."""
    if identity == "same":
        return
    if identity == "namespace":
        enter_namespace()
        return
    uid, _, gid = identity.partition(":")
    os.setgroups([])
    os.setgid(int(gid))
    os.setuid(int(uid))


def main(arguments: list[str]) -> None:
    parent, death_signal, identity, *command = arguments
    try:
        become(identity)
    except OSError as error:
        sys.exit(f"launch: cannot become {identity}: {error}")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0) != 0:
        sys.exit("launch: prctl(PR_SET_PDEATHSIG) was refused")
    if os.getppid() != int(parent):
        sys.exit("launch: the parent is gone")
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and exec would keep that
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    os.execv(command[0], command)  # the whole point # noqa: S606 # nosec B606


if __name__ == "__main__":
    main(sys.argv[1:])
