/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The kernel's integer names, also where clang's bpf target cannot find them.
 *
 * Debian keeps <asm/types.h> in the multiarch folder, which `clang -target bpf` does not search.
 * Defining the names here keeps the compile command plain, with no -I that depends on the host.
 * This header comes before <linux/bpf.h> and <linux/if_ether.h>, which then compile unchanged.
 */
#ifndef SENTINEL_TYPES_H
#define SENTINEL_TYPES_H

#if __has_include(<asm/types.h>)
#include <linux/types.h>
#else
#define _LINUX_TYPES_H
typedef signed char __s8;
typedef unsigned char __u8;
typedef short __s16;
typedef unsigned short __u16;
typedef int __s32;
typedef unsigned int __u32;
typedef long long __s64;
typedef unsigned long long __u64;
typedef __u16 __le16;
typedef __u16 __be16;
typedef __u32 __le32;
typedef __u32 __be32;
typedef __u64 __le64;
typedef __u64 __be64;
typedef __u16 __sum16;
typedef __u32 __wsum;
#define __aligned_u64 __u64 __attribute__((aligned(8)))
#define __aligned_be64 __be64 __attribute__((aligned(8)))
#define __aligned_le64 __le64 __attribute__((aligned(8)))
#endif

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

/* Before a loop: the verifier of a BPF program likes loops best that are none. */
#ifdef __clang__
#define SENTINEL_UNROLL _Pragma("clang loop unroll(full)")
#define SENTINEL_KEEP_LOOP _Pragma("clang loop unroll(disable)")
#else
#define SENTINEL_UNROLL
#define SENTINEL_KEEP_LOOP
#endif
/* Between stages: what the next one needs is loaded again, not kept on BPF's 512 bytes of stack. */
#define SENTINEL_BARRIER() __asm__ volatile("" ::: "memory")

/*
 * A pointer whose making the compiler forgets: fields are then constant offsets from it. Otherwise
 * it computes the address of each field early, and the stack is full of them.
 */
#define SENTINEL_OPAQUE(pointer)                                                                   \
	({                                                                                         \
		__typeof__(pointer) opaque_ = (pointer);                                           \
		__asm__ volatile("" : "+r"(opaque_));                                              \
		opaque_;                                                                           \
	})

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "sentinel is built and tested for little-endian hosts only (x86-64, arm64)"
#endif

#define SENTINEL_BE16(value) ((__be16)__builtin_bswap16(value))
#define SENTINEL_BE32(value) ((__be32)__builtin_bswap32(value))
#define SENTINEL_BE64(value) ((__be64)__builtin_bswap64(value))
#define sentinel_host16(value) __builtin_bswap16(value)
#define sentinel_host32(value) __builtin_bswap32(value)
#define sentinel_host64(value) __builtin_bswap64(value)

#endif
