"""Which system calls a block may make, and their numbers: data, checked by tests.

An allowlist: what is not named here fails with EPERM. A denylist was got round three times before
this was built (limits and affinity of the parent, times and attributes of files, memory in memfds).

Not here on purpose: `execve` and the like, `fork`, `vfork`, `socket`, `connect`, `bind`, `memfd_*`,
`chmod`, `chown`, `utime*`, `*xattr`, `ptrace`, `process_vm_*`, `shm*`, `msg*`, `sem*`, `mq_*`,
`io_uring_*`, `bpf`, `mount`, `unshare`, `setns`, `inotify_*`, `tkill`, `openat2` (its flags lie in
memory, where no filter sees them).
"""

from __future__ import annotations

from typing import NamedTuple

SELF = -1
"""Stands for the pid of the process in a check."""


class Check(NamedTuple):
    """An argument's lower 32 bits (upper: `half` is 1), masked, are this value."""

    argument: int
    value: int
    mask: int = 0xFFFFFFFF
    half: int = 0


def _one_of(argument: int, *values: int) -> tuple[tuple[Check, ...], ...]:
    return tuple((Check(argument, value),) for value in values)


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


ALLOWED = _words(
    """
access alarm brk chdir clock_getres clock_gettime clock_nanosleep close close_range copy_file_range
creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait
eventfd eventfd2 exit exit_group faccessat faccessat2 fadvise64 fallocate fchdir fdatasync flock
fstat fstatfs fsync ftruncate futex futex_waitv getcpu getcwd getdents getdents64 getegid geteuid
getgid getgroups getitimer getpeername getpgrp getpid getppid getrandom getresgid getresuid
getrlimit getrusage getsockname getsockopt gettid gettimeofday getuid link linkat lseek lstat
madvise membarrier mincore mkdir mkdirat mknod mknodat mmap mprotect mremap msync munmap nanosleep
newfstatat pause pipe pipe2 poll ppoll pread64 preadv preadv2 pselect6 pwrite64 pwritev pwritev2
read readlink readlinkat readv recvfrom recvmsg rename renameat renameat2 restart_syscall rmdir
rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigreturn rt_sigsuspend rt_sigtimedwait
sched_get_priority_max sched_get_priority_min sched_yield select sendfile sendmsg set_robust_list
set_tid_address setitimer setrlimit shutdown sigaltstack splice stat statfs statx symlink symlinkat
sysinfo tee time timer_create timer_delete timer_getoverrun timer_gettime timer_settime
timerfd_create timerfd_gettime timerfd_settime times umask uname unlink unlinkat wait4 waitid write
writev
"""
)

TRUNCATE = "truncate"
"""Allowed where Landlock governs it (ABI 3): a path, so files outside could be emptied by it."""

_THREAD, _NAMESPACES = 0x00010000, 0x7E020000 | 0x00000080
"""CLONE_THREAD; CLONE_NEW* (cgroup, uts, ipc, user, pid, net, ns, time). Source: linux/sched.h."""
_ACCESS, _TRUNCATE = 0o3, 0o1000
_FCNTL = (0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030, 1032)
"""F_DUPFD to F_SETLKW, the F_OFD_* locks, F_DUPFD_CLOEXEC, F_GETPIPE_SZ; not F_SETOWN and F_SETSIG,
which have the kernel send signals to others. Source: asm-generic/fcntl.h, linux/fcntl.h."""
_IOCTL = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
"""TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX. Source: asm-generic/ioctls.h."""
_PRCTL = (15, 16)
"""PR_SET_NAME, PR_GET_NAME."""
_WRITABLE = tuple((mode, 0o3) for mode in (0o1, 0o2))


def _opens(flags: int) -> tuple[tuple[Check, ...], ...]:
    """Without O_TRUNC, or for writing: a truncation for reading only is not Landlock's business
    before ABI 3."""
    return (
        (Check(flags, 0, _TRUNCATE),),
        *((Check(flags, mode, mask),) for mode, mask in _WRITABLE),
    )


_OWN = ((Check(0, 0),), (Check(0, SELF),))
_STREAMS = tuple((Check(0, 1), Check(1, kind, 0xF)) for kind in (1, 5))
"""AF_UNIX, SOCK_STREAM or SOCK_SEQPACKET: a datagram socket could write to any address."""

CHECKED: dict[str, tuple[tuple[Check, ...], ...]] = {
    "openat": _opens(2),
    "open": _opens(1),
    "fcntl": _one_of(1, *_FCNTL),
    "ioctl": _one_of(1, *_IOCTL),
    "clone": ((Check(0, _THREAD, _THREAD | _NAMESPACES),),),
    "sendto": ((Check(4, 0), Check(4, 0, half=1)),),
    "socketpair": _STREAMS,
    "prctl": _one_of(0, *_PRCTL),
    "kill": ((Check(0, SELF),),),
    "tgkill": ((Check(0, SELF),),),
    "prlimit64": _OWN,
    "sched_getaffinity": _OWN,
    "sched_setaffinity": _OWN,
    "sched_getparam": _OWN,
    "sched_getscheduler": _OWN,
    "getpgid": _OWN,
    "getsid": _OWN,
    "getpriority": tuple((Check(0, 0), *own) for own in ((Check(1, 0),), (Check(1, SELF),))),
    "setpriority": tuple((Check(0, 0), *own) for own in ((Check(1, 0),), (Check(1, SELF),))),
}
"""Allowed where every check of one of the alternatives holds. PRIO_PROCESS is 0."""

ABSENT = "clone3"
"""Fails with ENOSYS, so that the C library falls back to `clone`, whose flags can be checked."""


def _numbers(text: str) -> dict[str, int]:
    return {name: int(number) for name, _, number in (word.partition(":") for word in text.split())}


X86_64 = _numbers(
    """
access:21 alarm:37 brk:12 chdir:80 clock_getres:229 clock_gettime:228 clock_nanosleep:230 clone:56
clone3:435 close:3 close_range:436 copy_file_range:326 creat:85 dup:32 dup2:33 dup3:292
epoll_create:213 epoll_create1:291 epoll_ctl:233 epoll_pwait:281 epoll_pwait2:441 epoll_wait:232
eventfd:284 eventfd2:290 exit:60 exit_group:231 faccessat:269 faccessat2:439 fadvise64:221
fallocate:285 fchdir:81 fcntl:72 fdatasync:75 flock:73 fstat:5 fstatfs:138 fsync:74 ftruncate:77
futex:202 futex_waitv:449 getcpu:309 getcwd:79 getdents:78 getdents64:217 getegid:108 geteuid:107
getgid:104 getgroups:115 getitimer:36 getpeername:52 getpgid:121 getpgrp:111 getpid:39 getppid:110
getpriority:140 getrandom:318 getresgid:120 getresuid:118 getrlimit:97 getrusage:98 getsid:124
getsockname:51 getsockopt:55 gettid:186 gettimeofday:96 getuid:102 ioctl:16 kill:62 link:86
linkat:265 lseek:8 lstat:6 madvise:28 membarrier:324 mincore:27 mkdir:83 mkdirat:258 mknod:133
mknodat:259 mmap:9 mprotect:10 mremap:25 msync:26 munmap:11 nanosleep:35 newfstatat:262 open:2
openat:257 pause:34 pipe:22 pipe2:293 poll:7 ppoll:271 prctl:157 pread64:17 preadv:295 preadv2:327
prlimit64:302 pselect6:270 pwrite64:18 pwritev:296 pwritev2:328 read:0 readlink:89 readlinkat:267
readv:19 recvfrom:45 recvmsg:47 rename:82 renameat:264 renameat2:316 restart_syscall:219 rmdir:84
rseq:334 rt_sigaction:13 rt_sigpending:127 rt_sigprocmask:14 rt_sigreturn:15 rt_sigsuspend:130
rt_sigtimedwait:128 sched_get_priority_max:146 sched_get_priority_min:147 sched_getaffinity:204
sched_getparam:143 sched_getscheduler:145 sched_setaffinity:203 sched_yield:24 select:23
sendfile:40 sendmsg:46 sendto:44 set_robust_list:273 set_tid_address:218 setitimer:38
setpriority:141 setrlimit:160 shutdown:48 sigaltstack:131 socketpair:53 splice:275 stat:4
statfs:137 statx:332 symlink:88 symlinkat:266 sysinfo:99 tee:276 tgkill:234 time:201
timer_create:222 timer_delete:226 timer_getoverrun:225 timer_gettime:224 timer_settime:223
timerfd_create:283 timerfd_gettime:287 timerfd_settime:286 times:100 truncate:76 umask:95 uname:63
unlink:87 unlinkat:263 wait4:61 waitid:247 write:1 writev:20
    """
)
"""Source: Linux 6.1, arch/x86/entry/syscalls/syscall_64.tbl."""

AARCH64 = _numbers(
    """
brk:214 chdir:49 clock_getres:114 clock_gettime:113 clock_nanosleep:115 clone:220 clone3:435
close:57 close_range:436 copy_file_range:285 dup:23 dup3:24 epoll_create1:20 epoll_ctl:21
epoll_pwait:22 epoll_pwait2:441 eventfd2:19 exit:93 exit_group:94 faccessat:48 faccessat2:439
fadvise64:223 fallocate:47 fchdir:50 fcntl:25 fdatasync:83 flock:32 fstat:80 fstatfs:44 fsync:82
ftruncate:46 futex:98 futex_waitv:449 getcpu:168 getcwd:17 getdents64:61 getegid:177 geteuid:175
getgid:176 getgroups:158 getitimer:102 getpeername:205 getpgid:155 getpid:172 getppid:173
getpriority:141 getrandom:278 getresgid:150 getresuid:148 getrlimit:163 getrusage:165 getsid:156
getsockname:204 getsockopt:209 gettid:178 gettimeofday:169 getuid:174 ioctl:29 kill:129 linkat:37
lseek:62 madvise:233 membarrier:283 mincore:232 mkdirat:34 mknodat:33 mmap:222 mprotect:226
mremap:216 msync:227 munmap:215 nanosleep:101 newfstatat:79 openat:56 pipe2:59 ppoll:73 prctl:167
pread64:67 preadv:69 preadv2:286 prlimit64:261 pselect6:72 pwrite64:68 pwritev:70 pwritev2:287
read:63 readlinkat:78 readv:65 recvfrom:207 recvmsg:212 renameat:38 renameat2:276
restart_syscall:128 rseq:293 rt_sigaction:134 rt_sigpending:136 rt_sigprocmask:135 rt_sigreturn:139
rt_sigsuspend:133 rt_sigtimedwait:137 sched_get_priority_max:125 sched_get_priority_min:126
sched_getaffinity:123 sched_getparam:121 sched_getscheduler:120 sched_setaffinity:122
sched_yield:124 sendfile:71 sendmsg:211 sendto:206 set_robust_list:99 set_tid_address:96
setitimer:103 setpriority:140 setrlimit:164 shutdown:210 sigaltstack:132 socketpair:199 splice:76
statfs:43 statx:291 symlinkat:36 sysinfo:179 tee:77 tgkill:131 timer_create:107 timer_delete:111
timer_getoverrun:109 timer_gettime:108 timer_settime:110 timerfd_create:85 timerfd_gettime:87
timerfd_settime:86 times:153 truncate:45 umask:166 uname:160 unlinkat:35 wait4:260 waitid:95
write:64 writev:66
    """
)
"""Source: Linux 6.1, include/uapi/asm-generic/unistd.h with what arm64 selects from it."""
