#!/bin/bash
# LSF: stops before the run limit, submits itself again and goes on where it was. Checked for syntax and against the documentation
# of LSF only.
#
#     OUT=$PWD/ensemble CONFIG=$PWD/run.yaml bsub < jobs/lsf.sh
#
#BSUB -J parampi
#BSUB -n 4
#BSUB -R "span[ptile=2]"
#BSUB -W 1:00
#BSUB -o parampi-%J.log
# USR1 to the job's processes 5 minutes before the limit; the mpiexec of some MPIs keeps it for itself, hence max_walltime too
#BSUB -wt 5
#BSUB -wa USR1
set -eu

# each rank computes on its own cores; without this it would take all those of the node
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

if compgen -G "$OUT/.parampi-*/run.json" >/dev/null; then
  set -- resume "$OUT" --config "$CONFIG"
else
  set -- run "$CONFIG" output.directory="$OUT"
fi

# the shell must survive the signal that is meant for the ranks
trap '' USR1
# max_walltime: before LSF's own signal, in case mpiexec does not pass that on
code=0
mpiexec parampi "$@" checkpoint.max_walltime=0:54:00 || code=$?

# 75: stopped in good order before the end
if [ "$code" = 75 ]; then
  OUT="$OUT" CONFIG="$CONFIG" bsub <jobs/lsf.sh
  exit 0
fi
exit "$code"
