/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SENTINEL_PROCESSOR_H
#define SENTINEL_PROCESSOR_H

/* Two services for the processors under an experiment. Both bind themselves to `cpu`, print
 * `ready`, and end with their controller. They return only on failure (or, watching, at the end
 * of input), with the exit code. */

int keep_awake(int cpu);
int watch_processor(int cpu, int priority);

#endif
