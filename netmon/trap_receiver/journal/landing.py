"""Where datagrams land: `recvmmsg` writes them straight into memory that outlives the process.

Between the moment when the kernel hands a datagram over and the moment when it stands in the journal, it exists in one
place only. If that place were capture's own memory, `kill -9` would lose up to a batch. So it is a memfd that the
supervisor holds: the next capture finds in it what its predecessor had taken from the socket and not yet written.

    page 0    "NETMONL1" · layout u32 · first seq u64 that the batch will have in the journal
    then      an array of `struct mmsghdr` (recvmmsg(2)), an array of `struct iovec`, and the slots
    slot      control messages · peer address · payload: already a record of the journal, see `journal`

The kernel writes `msg_len` of each message when it has delivered it; capture sets them all to a length that no datagram
has before the next batch, so that what landed can be told. The structures are those of Linux on 64-bit machines
(x86_64, aarch64).
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import socket
import struct

from netmon.trap_receiver.journal.segment import LAYOUT_IPV4, LAYOUT_IPV6, PREFIX_BYTES

BATCH_MAX = 512
"""Datagrams of one system call."""

_MAGIC = b"NETMONL1"
_PAGE = 4_096
_MMSGHDR_BYTES = 64
_IOVEC_BYTES = 16
_DATAGRAM_BYTES = 65_536
# Not a multiple of 64 KiB: slots at one stride of a power of two would share a few sets of the processor's caches.
_SLOT_BYTES = _DATAGRAM_BYTES + _PAGE + 320
_HEADERS_AT = _PAGE
_IOVECS_AT = _HEADERS_AT + BATCH_MAX * _MMSGHDR_BYTES
_SLOTS_AT = _IOVECS_AT + BATCH_MAX * _IOVEC_BYTES
_SIZE = _SLOTS_AT + BATCH_MAX * _SLOT_BYTES
_STARTS = [_SLOTS_AT + slot * _SLOT_BYTES for slot in range(BATCH_MAX)]

_EMPTY = 0xFFFF_FFFF
"""`msg_len` of a slot in which nothing has landed; 0 is the length of an empty datagram."""
_ADDRESS_BYTES = {LAYOUT_IPV6: 28, LAYOUT_IPV4: 16}

# msg_name, msg_namelen; msg_iov, msg_iovlen; msg_control, msg_controllen; msg_flags; msg_len
_MMSGHDR = struct.Struct("@PI4xPNPNi4xI4x")
assert _MMSGHDR.size == _MMSGHDR_BYTES, "not a 64-bit Linux"

# PyDLL keeps the interpreter lock: the process has one thread, and giving the lock back costs more than the call.
_libc = ctypes.PyDLL(None, use_errno=True)
_recvmmsg = _libc.recvmmsg
_recvmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p)
_recvmmsg.restype = ctypes.c_int


class Landing:
    """The batch that capture holds at one moment, in shared memory."""

    def __init__(self, fd: int, layout: int) -> None:
        """Maps the memory behind `fd` (a memfd, any size); what landed there before stays until `receive`.

        Args:
            fd: Descriptor to map; it may be closed afterwards.
            layout: `LAYOUT_IPV6` or `LAYOUT_IPV4`, after the socket's family.
        """
        os.ftruncate(fd, _SIZE)
        self.layout = layout
        self._map = mmap.mmap(fd, _SIZE)
        self._prefix = PREFIX_BYTES[layout]
        words = memoryview(self._map)[_HEADERS_AT:_IOVECS_AT].cast("I")
        step = _MMSGHDR_BYTES // 4
        self._lengths = words[14::step]
        self._empty = memoryview(struct.pack("I", _EMPTY) * BATCH_MAX).cast("I")
        self._messages = ctypes.addressof(ctypes.c_char.from_buffer(self._map, _HEADERS_AT))
        self._landed = self._find_landed()
        self._point_at_slots()

    def _find_landed(self) -> int:
        """Datagrams that a predecessor with the same layout left; 0 in new memory."""
        magic, layout, self.first_seq = struct.unpack_from("<8sI4xQ", self._map)
        if magic != _MAGIC or layout != self.layout:
            self._lengths[:] = self._empty
            return 0
        lengths = self._lengths.tolist()
        return lengths.index(_EMPTY) if _EMPTY in lengths else BATCH_MAX

    def _point_at_slots(self) -> None:
        """Writes the addresses of this process's mapping into the headers, and leaves `msg_len` as it is."""
        base = self._messages - _HEADERS_AT
        address_bytes = _ADDRESS_BYTES[self.layout]
        control_bytes = self._prefix - address_bytes
        for slot, start in enumerate(_STARTS):
            at = base + start
            struct.pack_into("@PN", self._map, _IOVECS_AT + slot * _IOVEC_BYTES, at + self._prefix, _DATAGRAM_BYTES)
            _MMSGHDR.pack_into(
                self._map,
                _HEADERS_AT + slot * _MMSGHDR_BYTES,
                at + control_bytes,
                address_bytes,
                base + _IOVECS_AT + slot * _IOVEC_BYTES,
                1,
                at,
                control_bytes,
                0,
                self._lengths[slot],
            )

    def landed(self) -> tuple[list[int], bytes]:
        """What is here: the payload lengths, in order of arrival, and the records end to end."""
        lengths = self._lengths[: self._landed].tolist()
        prefix, memory = self._prefix, self._map
        return lengths, b"".join([memory[at : at + prefix + n] for at, n in zip(_STARTS, lengths, strict=False)])

    def receive(self, sock: socket.socket, first_seq: int) -> int:
        """Takes what waits in the socket's queue, at most `BATCH_MAX`; the batch before is gone then.

        Args:
            sock: A UDP socket of the layout's family.
            first_seq: seq that the first datagram of the batch will have.

        Returns:
            Datagrams that landed; 0 when none waits.

        Raises:
            OSError: The socket is not usable.
        """
        self._lengths[: self._landed] = self._empty[: self._landed]
        self._landed = 0
        self.first_seq = first_seq
        struct.pack_into("<8sI4xQ", self._map, 0, _MAGIC, self.layout, first_seq)
        count: int = _recvmmsg(sock.fileno(), self._messages, BATCH_MAX, socket.MSG_DONTWAIT, None)
        if count < 0:
            error = ctypes.get_errno()
            if error in (errno.EAGAIN, errno.EINTR):
                return 0
            raise OSError(error, os.strerror(error))
        self._landed = count
        return count
