#!/usr/bin/env bash
# Start a private Slurm on this host: two nodes (cpu1; gpu1 with two pretend GPUs), partitions cpu (default) and gpu.
#   SLURM_HOME     where state, logs and configuration go (required)
#   ACCOUNTING=1   with MariaDB and slurmdbd, so that sacct answers; otherwise squeue and scontrol alone
#   SLURM_PORT     first of the ports used (default 16817)
# Runs as root, without systemd and cgroups. A daemon that lives is left alone, a dead one is started again.
# Needs the Debian packages slurm-wlm and munge, and slurmdbd and mariadb-server for accounting; installs nothing.
set -euo pipefail
H=${SLURM_HOME:?}
PORT=${SLURM_PORT:-16817}
ACCOUNTING=${ACCOUNTING:-0}
HOST=$(hostname -s)
mkdir -p "$H"/{etc,state,log,run,dev,spool.cpu1,spool.gpu1,munge}
chmod 755 "$H" "$H/munge" "$H/run"
getent hosts "$HOST" >/dev/null || echo "127.0.0.1 $HOST" >>/etc/hosts

# A daemon that was killed may stay a zombie for long where PID 1 reaps late; `kill -0` would call it alive.
alive() {
    local pid
    [ -s "$1" ] && pid=$(cat "$1") && [ -r "/proc/$pid/status" ] && ! grep -q '^State:[[:space:]]*Z' "/proc/$pid/status"
}
wait_for() {
    local end=$((SECONDS + 60))
    until timeout 5 "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || { echo "slurm_up.sh: waited in vain for: $*" >&2; return 1; }
        sleep 0.1
    done
}
listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
export -f listens

# Authentication: a munge of our own (key, socket), whatever else runs here.
SOCKET=$H/munge/munge.sock
[ -s "$H/munge/munge.key" ] || { head -c 128 /dev/urandom >"$H/munge/munge.key"; chmod 400 "$H/munge/munge.key"; }
if ! alive "$H/run/munged.pid"; then
    rm -f "$SOCKET"*
    munged --force --key-file="$H/munge/munge.key" --socket="$SOCKET" --pid-file="$H/run/munged.pid" \
        --log-file="$H/log/munged.log" --seed-file="$H/munge/seed" --num-threads=2
fi
wait_for munge -S "$SOCKET" -n

# Pretend GPUs: Slurm takes character devices only, and sets CUDA_VISIBLE_DEVICES to the digit at the end of the name.
ln -sfn /dev/null "$H/dev/nvidia0"
ln -sfn /dev/null "$H/dev/nvidia1"
echo "NodeName=gpu1 Name=gpu File=$H/dev/nvidia[0-1]" >"$H/etc/gres.conf"

if [ "$ACCOUNTING" = 1 ]; then
    STORAGE="AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
AccountingStoragePort=$((PORT + 2))
AccountingStorageTRES=gres/gpu
AccountingStoragePass=$SOCKET"
else
    STORAGE="AccountingStorageType=accounting_storage/none"
fi
# config_overrides: nodes have the CPUs and the memory that stand here, not those of the host.
# OverMemoryKill: memory is enforced by polling, because there are no cgroups.
cat >"$H/etc/slurm.conf" <<CONF
ClusterName=private
SlurmctldHost=$HOST(127.0.0.1)
SlurmctldPort=$PORT
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$SOCKET
CredType=cred/munge
StateSaveLocation=$H/state
SlurmdSpoolDir=$H/spool.%n
SlurmctldPidFile=$H/run/slurmctld.pid
SlurmdPidFile=$H/run/slurmd.%n.pid
SlurmctldLogFile=$H/log/slurmctld.log
SlurmdLogFile=$H/log/slurmd.%n.log
MailProg=/bin/true
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=2
JobAcctGatherParams=OverMemoryKill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=5,bf_interval=5,batch_sched_delay=1,sched_min_interval=100000
ReturnToService=2
SlurmctldTimeout=30
SlurmdTimeout=20
KillWait=5
MinJobAge=86400
JobRequeue=0
PropagateResourceLimits=NONE
GresTypes=gpu
$STORAGE
NodeName=cpu1 NodeHostname=$HOST NodeAddr=127.0.0.1 Port=$((PORT + 11)) CPUs=8 RealMemory=64000 State=UNKNOWN
NodeName=gpu1 NodeHostname=$HOST NodeAddr=127.0.0.1 Port=$((PORT + 12)) CPUs=8 RealMemory=64000 Gres=gpu:2 State=UNKNOWN
PartitionName=cpu Nodes=cpu1,gpu1 Default=YES MaxTime=1-0 DefMemPerCPU=500 State=UP
PartitionName=gpu Nodes=gpu1 MaxTime=1-0 DefMemPerCPU=500 State=UP
CONF
export SLURM_CONF=$H/etc/slurm.conf

if [ "$ACCOUNTING" = 1 ]; then
    DATABASE=$H/run/mysql.sock
    if ! alive "$H/run/mariadbd.pid"; then
        [ -d "$H/mysql/mysql" ] || mariadb-install-db --no-defaults --user=root --datadir="$H/mysql" \
            --auth-root-authentication-method=socket --skip-test-db >"$H/log/mysql-init.log" 2>&1
        nohup mariadbd --no-defaults --user=root --datadir="$H/mysql" --socket="$DATABASE" \
            --pid-file="$H/run/mariadbd.pid" --skip-networking --innodb-buffer-pool-size=64M \
            --innodb-log-file-size=32M --innodb-lock-wait-timeout=900 >"$H/log/mariadbd.log" 2>&1 </dev/null &
        wait_for mariadb-admin --no-defaults --socket="$DATABASE" ping
    fi
    mariadb --no-defaults --socket="$DATABASE" -e "CREATE DATABASE IF NOT EXISTS slurm_acct_db"
    cat >"$H/etc/slurmdbd.conf" <<CONF
AuthType=auth/munge
AuthInfo=socket=$SOCKET
DbdHost=localhost
DbdPort=$((PORT + 2))
SlurmUser=root
LogFile=$H/log/slurmdbd.log
PidFile=$H/run/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm_acct_db
CONF
    chmod 600 "$H/etc/slurmdbd.conf"
    # The database's library finds the socket here, because StorageHost is localhost.
    alive "$H/run/slurmdbd.pid" || { rm -f "$H/run/slurmdbd.pid"; MYSQL_UNIX_PORT=$DATABASE slurmdbd; }
    wait_for sacctmgr -n list cluster
    sacctmgr -n list cluster format=cluster | grep -qw private || sacctmgr -i add cluster private >/dev/null
fi

# Snakemake's job step drops every SLURM_* variable, SLURM_CONF too, before it calls srun: the configuration must be the
# host's default as well. A real file is never replaced.
if [ -e /etc/slurm/slurm.conf ] && [ ! -L /etc/slurm/slurm.conf ]; then
    echo "slurm_up.sh: /etc/slurm/slurm.conf is a file: this host belongs to a cluster" >&2
    exit 1
fi
mkdir -p /etc/slurm
ln -sfn "$SLURM_CONF" /etc/slurm/slurm.conf

alive "$H/run/slurmctld.pid" || { rm -f "$H/run/slurmctld.pid"; slurmctld; }
wait_for scontrol ping
for node in cpu1 gpu1; do
    alive "$H/run/slurmd.$node.pid" || { rm -f "$H/run/slurmd.$node.pid"; slurmd -N "$node"; }
done
wait_for bash -c "listens $((PORT + 11))"
wait_for bash -c "listens $((PORT + 12))"
ready() { sinfo -h -N -n "$1" -o %t | grep -qE '^(idle|mix|alloc|comp)$'; }
for node in cpu1 gpu1; do
    for _ in $(seq 1 300); do
        ready "$node" && break
        scontrol update nodename="$node" state=resume >/dev/null 2>&1 || true
        sleep 0.1
    done
    ready "$node" || { echo "slurm_up.sh: node $node is not ready" >&2; sinfo -N -l >&2; exit 1; }
done
