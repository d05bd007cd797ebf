#!/usr/bin/env bash
# Stop what slurm_up.sh started: the processes whose numbers stand in $SLURM_HOME/run, and their jobs. Logs stay.
set -u
H=${SLURM_HOME:?}
export SLURM_CONF=$H/etc/slurm.conf
lives() { [ -r "/proc/$1/status" ] && ! grep -q '^State:[[:space:]]*Z' "/proc/$1/status"; }
running() { [ -n "$(timeout 5 squeue --noheader 2>/dev/null)" ]; }
stop() {
    local pid
    [ -s "$1" ] || return 0
    pid=$(cat "$1")
    if lives "$pid"; then
        kill "$pid"
        for _ in $(seq 1 100); do
            lives "$pid" || break
            sleep 0.1
        done
        if lives "$pid"; then kill -9 "$pid"; fi
    fi
    rm -f "$1"
}
if [ -s "$H/run/slurmctld.pid" ] && lives "$(cat "$H/run/slurmctld.pid")"; then
    timeout 5 scancel --quiet --user="$(id -un)" 2>/dev/null
    for _ in $(seq 1 100); do # jobs end before the daemons that would kill them
        running || break
        sleep 0.1
    done
fi
for file in "$H"/run/slurmd.*.pid "$H"/run/{slurmctld,slurmdbd,mariadbd,munged}.pid; do stop "$file"; done
if [ "$(readlink /etc/slurm/slurm.conf)" = "$SLURM_CONF" ]; then rm -f /etc/slurm/slurm.conf; fi
exit 0
