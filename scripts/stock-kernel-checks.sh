#!/usr/bin/env bash
# Inside the guest of scripts/stock-kernel.sh: the netem backend on a stock kernel. Starting Python
# takes long there, so it is started seldom. Ends with the status of the first check that failed.
#
#     scripts/stock-kernel-checks.sh [--quick] [words for pytest]
#
# --quick, for CI: without the lab tests, which take another ten minutes; the runs of ci-smoke are
# judged by the same gate (round trips, rate, loss, every byte).
set -euo pipefail

quick=
if [[ ${1:-} == --quick ]]; then
    quick=yes
    shift
fi

: "${SENTINEL_GUEST_OUT:?run this through scripts/stock-kernel.sh}"
export SENTINEL_REQUIRE_LAB=1
BIN=$PWD/.venv/bin

step() { printf '\n[%4d s] %s\n' "$SECONDS" "$*"; }

step "doctor: netem must be found and be the choice"
status=0
"$BIN/sentinel-sim" doctor --json >"$SENTINEL_GUEST_OUT/doctor.json" || status=$?
/usr/bin/python3 -S - "$SENTINEL_GUEST_OUT/doctor.json" <<'PYTHON'
import json
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    document = json.load(file)
for entry in document["capabilities"]:
    if entry["status"] != "found":
        print(f"{entry['name']}: {entry['status']}: {entry['detail']}")
print(document["verdict"]["text"])
netem = next(entry for entry in document["capabilities"] if entry["name"] == "netem")
if netem["status"] != "found" or document["verdict"]["wire_backend"] != "netem":
    sys.exit("netem was not found, or is not the wire backend of choice")
PYTHON
[[ $status -eq 0 ]] || exit "$status"

# One emulated processor carries 20 Mbit/s within the validity limits, 100 Mbit/s not (lateness p99
# 1.1 to 3.6 ms, in guest time, instead of 1). All else is as the file says. Results go to memory
# first: while the guest waits for a file of the host, its clock leaps. Lateness of a slow guest may
# make a run invalid without failing this check (accuracy is tested below); nothing else may.
step "ci-smoke on netem, at 20 Mbit/s"
sed 's/rate: 100 Mbit/rate: 20 Mbit/' topologies/ci-smoke.yaml >/tmp/ci-smoke.yaml
grep -q 'rate: 20 Mbit' /tmp/ci-smoke.yaml
status=0
"$BIN/sentinel-sim" run /tmp/ci-smoke.yaml --wire netem --out /tmp/results || status=$?
cp -r /tmp/results "$SENTINEL_GUEST_OUT/"
[[ $status -eq 0 || $status -eq 4 ]] || exit "$status"
/usr/bin/python3 -S - /tmp/results/*/result.json <<'PYTHON'
import json
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    result = json.load(file)
if len(result["runs"]) != 4 or result["environment"]["wire_backend"] != "netem":
    sys.exit(f"{len(result['runs'])} runs on {result['environment']['wire_backend']}")
for run in result["runs"]:
    reasons = [text for text in run["invalid_reasons"] if not text.startswith("lateness")]
    if reasons or not run["sha256_ok"]:
        sys.exit(f"{run['arm']} at {run['distance_km']} km: {reasons}, hash {run['sha256_ok']}")
print("4 runs on netem: every byte arrived, only lateness may be out of bounds")
PYTHON

if [[ -n $quick ]]; then
    step "done; lab tests: make test-stock-kernel"
    exit 0
fi

step "lab tests: the doctor's, and the accuracy of netem wires"
"$BIN/python" -m pytest -p no:cacheprovider -q -rs --timeout=900 --durations=5 \
    tests/lab/host/test_doctor_lab.py tests/lab/wire/test_delay.py "$@"
step "done"
