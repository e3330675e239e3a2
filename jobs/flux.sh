#!/bin/bash
# Flux: stops before the time limit, submits itself again and goes on where it was. Checked for syntax and against the documentation
# of Flux only.
#
#     flux batch --env=OUT=$PWD/ensemble --env=CONFIG=$PWD/run.yaml jobs/flux.sh
#
# flux: --job-name=parampi
# flux: --nodes=2
# flux: --exclusive
# flux: --time-limit=1h
# flux: --output=parampi-{{id}}.log
set -eu

# each rank computes on its own cores; without this it would take all those of the node
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

if compgen -G "$OUT/.parampi-*/run.json" >/dev/null; then
  set -- resume "$OUT" --config "$CONFIG"
else
  set -- run "$CONFIG" output.directory="$OUT"
fi

# max_walltime rather than a signal: the time limit ends the whole instance
code=0
flux run --nodes=2 --tasks-per-node=2 parampi "$@" checkpoint.max_walltime=0:55:00 || code=$?

# 75: stopped in good order before the end
if [ "$code" = 75 ]; then
  # --parent: into the queue that this job came from, not into the job itself
  flux --parent batch --env=OUT="$OUT" --env=CONFIG="$CONFIG" jobs/flux.sh
  exit 0
fi
exit "$code"
