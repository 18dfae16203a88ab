"""Structures of bpf(2), as <linux/bpf.h> has them, as far as they are used.

Attributes are named after their command. One that is shorter than the kernel's is allowed: the
kernel reads the rest as zeros.
"""

from __future__ import annotations

import ctypes

NAME_BYTES = 16
"""Of an object, with the final zero."""
_U32 = ctypes.c_uint32
_U64 = ctypes.c_uint64


class MapCreateAttr(ctypes.Structure):
    _fields_ = (
        ("map_type", _U32),
        ("key_size", _U32),
        ("value_size", _U32),
        ("max_entries", _U32),
        ("map_flags", _U32),
        ("inner_map_fd", _U32),
        ("numa_node", _U32),
        ("map_name", ctypes.c_char * NAME_BYTES),
        ("map_ifindex", _U32),
        ("btf_fd", _U32),
        ("btf_key_type_id", _U32),
        ("btf_value_type_id", _U32),
    )


class BtfLoadAttr(ctypes.Structure):
    _fields_ = (
        ("btf", _U64),
        ("btf_log_buf", _U64),
        ("btf_size", _U32),
        ("btf_log_size", _U32),
        ("btf_log_level", _U32),
    )


class BtfInfo(ctypes.Structure):
    _fields_ = (("btf", _U64), ("btf_size", _U32), ("id", _U32))


class ElementAttr(ctypes.Structure):
    _fields_ = (
        ("map_fd", _U32),
        ("pad", _U32),
        ("key", _U64),
        ("value", _U64),
        ("flags", _U64),
    )


class BatchAttr(ctypes.Structure):
    _fields_ = (
        ("in_batch", _U64),
        ("out_batch", _U64),
        ("keys", _U64),
        ("values", _U64),
        ("count", _U32),
        ("map_fd", _U32),
        ("elem_flags", _U64),
        ("flags", _U64),
    )


class ProgLoadAttr(ctypes.Structure):
    _fields_ = (
        ("prog_type", _U32),
        ("insn_cnt", _U32),
        ("insns", _U64),
        ("license", _U64),
        ("log_level", _U32),
        ("log_size", _U32),
        ("log_buf", _U64),
        ("kern_version", _U32),
        ("prog_flags", _U32),
        ("prog_name", ctypes.c_char * NAME_BYTES),
        ("prog_ifindex", _U32),
        ("expected_attach_type", _U32),
    )


class TestRunAttr(ctypes.Structure):
    _fields_ = (
        ("prog_fd", _U32),
        ("retval", _U32),
        ("data_size_in", _U32),
        ("data_size_out", _U32),
        ("data_in", _U64),
        ("data_out", _U64),
        ("repeat", _U32),
        ("duration", _U32),
        ("ctx_size_in", _U32),
        ("ctx_size_out", _U32),
        ("ctx_in", _U64),
        ("ctx_out", _U64),
        ("flags", _U32),
        ("cpu", _U32),
        ("batch_size", _U32),
        ("pad", _U32),
    )


class EnableStatsAttr(ctypes.Structure):
    """`type` 0: BPF_STATS_RUN_TIME."""

    _fields_ = (("type", _U32),)


class FdByIdAttr(ctypes.Structure):
    _fields_ = (("id", _U32), ("next_id", _U32), ("open_flags", _U32), ("pad", _U32))


class InfoAttr(ctypes.Structure):
    _fields_ = (("bpf_fd", _U32), ("info_len", _U32), ("info", _U64))


class LinkCreateAttr(ctypes.Structure):
    _fields_ = (
        ("prog_fd", _U32),
        ("target_ifindex", _U32),
        ("attach_type", _U32),
        ("flags", _U32),
    )


class ObjectAttr(ctypes.Structure):
    """Pins: a path and what is (or is to be) there."""

    _fields_ = (("pathname", _U64), ("bpf_fd", _U32), ("file_flags", _U32))


class LinkUpdateAttr(ctypes.Structure):
    _fields_ = (
        ("link_fd", _U32),
        ("new_prog_fd", _U32),
        ("flags", _U32),
        ("old_prog_fd", _U32),
    )


class LinkDetachAttr(ctypes.Structure):
    _fields_ = (("link_fd", _U32),)


class LinkInfo(ctypes.Structure):
    """struct bpf_link_info of an XDP link. `ifindex` is 0 once the interface is gone."""

    _fields_ = (
        ("type", _U32),
        ("id", _U32),
        ("prog_id", _U32),
        ("pad", _U32),
        ("ifindex", _U32),
        ("union_rest", _U32 * 15),
    )


class MapInfo(ctypes.Structure):
    """struct bpf_map_info, as far as it is used."""

    _fields_ = (
        ("type", _U32),
        ("id", _U32),
        ("key_size", _U32),
        ("value_size", _U32),
        ("max_entries", _U32),
        ("map_flags", _U32),
        ("name", ctypes.c_char * NAME_BYTES),
        ("ifindex", _U32),
        ("btf_vmlinux_value_type_id", _U32),
        ("netns_dev", _U64),
        ("netns_ino", _U64),
        ("btf_id", _U32),
        ("btf_key_type_id", _U32),
        ("btf_value_type_id", _U32),
        ("pad", _U32),
    )


class ProgInfo(ctypes.Structure):
    """struct bpf_prog_info, up to the count of verified instructions (Linux >= 5.16)."""

    _fields_ = (
        ("type", _U32),
        ("id", _U32),
        ("tag", ctypes.c_ubyte * 8),
        ("jited_prog_len", _U32),
        ("xlated_prog_len", _U32),
        ("jited_prog_insns", _U64),
        ("xlated_prog_insns", _U64),
        ("load_time", _U64),
        ("created_by_uid", _U32),
        ("nr_map_ids", _U32),
        ("map_ids", _U64),
        ("name", ctypes.c_char * NAME_BYTES),
        ("ifindex", _U32),
        ("gpl_compatible", _U32),
        ("netns_dev", _U64),
        ("netns_ino", _U64),
        ("nr_jited_ksyms", _U32),
        ("nr_jited_func_lens", _U32),
        ("jited_ksyms", _U64),
        ("jited_func_lens", _U64),
        ("btf_id", _U32),
        ("func_info_rec_size", _U32),
        ("func_info", _U64),
        ("nr_func_info", _U32),
        ("nr_line_info", _U32),
        ("line_info", _U64),
        ("jited_line_info", _U64),
        ("nr_jited_line_info", _U32),
        ("line_info_rec_size", _U32),
        ("jited_line_info_rec_size", _U32),
        ("nr_prog_tags", _U32),
        ("prog_tags", _U64),
        ("run_time_ns", _U64),
        ("run_cnt", _U64),
        ("recursion_misses", _U64),
        ("verified_insns", _U32),
        ("attach_btf_obj_id", _U32),
        ("attach_btf_id", _U32),
        ("pad", _U32),
    )
