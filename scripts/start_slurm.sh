#!/usr/bin/env bash
# Starts a Slurm of one node with accounting on this machine, for tests: scripts/start_slurm.sh [start|stop|status|install]
#
# Runs as root on Debian or Ubuntu, without systemd. The configuration, state, logs, keys and sockets are in $SLURM_HOME.
# The daemons listen on 127.0.0.1 only. Missing packages are installed with apt. A second start changes nothing.
# Clients need: export SLURM_CONF=$SLURM_HOME/slurm.conf
#
#   SLURM_HOME            the directory; the default is /tmp/alchemist-slurm
#   SLURM_CPUS            the number of cores of the node; it may be larger than that of the machine
#   SLURM_MAX_ARRAY_SIZE  MaxArraySize, 1001 by default
#   SLURM_PORT            the first of three ports, 16817 by default
set -euo pipefail

home=${SLURM_HOME:-/tmp/alchemist-slurm}
run=$home/run
node=$(hostname -s)
port=${SLURM_PORT:-16817}
export SLURM_CONF=$home/slurm.conf
daemons=(slurmd slurmctld slurmdbd mariadbd munged) # in the order in which they are stopped

fail() { echo "error: $*" >&2; exit 1; }

# alive NAME [PID]; a killed daemon whose parent has not waited for it is a zombie (Z), and counts as ended.
alive() {
  local pid=${2:-}
  [ -n "$pid" ] || pid=$(cat "$run/$1.pid" 2>/dev/null) || return 1
  case $(cat "/proc/$pid/stat" 2>/dev/null) in "$pid ($1) Z"*) return 1 ;; "$pid ($1) "*) return 0 ;; *) return 1 ;; esac
}

wait_for() { # SECONDS COMMAND...
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || return 1
    sleep 0.1
  done
}

install_packages() {
  local name missing=0
  for name in sbatch "${daemons[@]}" mariadb-install-db; do
    command -v "$name" >/dev/null || missing=1
  done
  [ $missing = 1 ] || return 0
  command -v apt-get >/dev/null || fail "Slurm is not installed, and there is no apt-get"
  # The packages would start their services otherwise.
  local policy=/usr/sbin/policy-rc.d made=0
  [ -e $policy ] || { printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy && made=1; }
  local packages=(slurmctld slurmd slurm-client slurmdbd munge mariadb-server-core mariadb-client-core) failed=0
  export DEBIAN_FRONTEND=noninteractive
  { apt-cache show slurmctld || apt-get -qq update; } >"$home/apt.log" 2>&1
  apt-get -qq install -y --no-install-recommends "${packages[@]}" >>"$home/apt.log" 2>&1 </dev/null || failed=1
  [ $made = 0 ] || rm -f $policy
  [ $failed = 0 ] || fail "Slurm cannot be installed: $(tail -1 "$home/apt.log")"
}

write_configuration() {
  local memory
  memory=$(awk '/^MemTotal/ {print int($2 / 1024 * 0.9)}' /proc/meminfo)
  [ -s "$home/munge.key" ] || (umask 077 && head -c 1024 /dev/urandom >"$home/munge.key")
  cat >"$home/slurmdbd.conf" <<CONF
AuthType=auth/munge
AuthInfo=socket=$run/munge.socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort=$((port + 2))
SlurmUser=root
LogFile=$home/log/slurmdbd.log
PidFile=$run/slurmdbd.pid
CommunicationParameters=NoInAddrAny
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct_db
CONF
  chmod 600 "$home/slurmdbd.conf"
  # cred_expire: a requeued job would wait 120 s otherwise. EnforcePartLimits: sbatch refuses what can never run.
  # Without cgroups (linuxproc, no task plugin) limits of memory and cores are not enforced.
  cat >"$SLURM_CONF" <<CONF
ClusterName=alchemist
SlurmctldHost=$node(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort=$port
SlurmdPort=$((port + 1))
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
AuthType=auth/munge
AuthInfo=socket=$run/munge.socket,cred_expire=10
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=$((port + 2))
AccountingStoragePass=$run/munge.socket
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=2,sched_min_interval=200000,bf_interval=2
ReturnToService=2
EnforcePartLimits=ALL
SlurmdParameters=config_overrides
SlurmctldPidFile=$run/slurmctld.pid
SlurmdPidFile=$run/slurmd.pid
SlurmctldLogFile=$home/log/slurmctld.log
SlurmdLogFile=$home/log/slurmd.log
SlurmdSpoolDir=$home/spool
StateSaveLocation=$home/state
KillWait=5
MinJobAge=600
MaxArraySize=${SLURM_MAX_ARRAY_SIZE:-1001}
NodeName=$node NodeAddr=127.0.0.1 CPUs=${SLURM_CPUS:-$(nproc)} RealMemory=$memory State=UNKNOWN
PartitionName=main Nodes=$node Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
CONF
}

start_database() {
  [ -d "$home/mysql/mysql" ] || mariadb-install-db --no-defaults --user=root --datadir="$home/mysql" --skip-test-db \
    --auth-root-authentication-method=socket >"$home/log/mysql-install.log" 2>&1
  cat >"$home/init.sql" <<SQL
CREATE DATABASE IF NOT EXISTS slurm_acct_db;
CREATE USER IF NOT EXISTS 'slurm'@'localhost' IDENTIFIED BY 'slurm';
GRANT ALL ON slurm_acct_db.* TO 'slurm'@'localhost';
SQL
  setsid nohup mariadbd --no-defaults --user=root --datadir="$home/mysql" --socket="$run/mysql.socket" \
    --skip-networking --pid-file="$run/mariadbd.pid" --init-file="$home/init.sql" --innodb-buffer-pool-size=64M \
    --innodb-flush-log-at-trx-commit=0 --innodb-lock-wait-timeout=900 >"$home/log/mariadbd.log" 2>&1 </dev/null 9>&- &
  wait_for 30 test -S "$run/mysql.socket" || fail "mariadbd has not started; see $home/log/mariadbd.log"
}

node_is_up() {
  case $(sinfo -h -N -n "$node" -o %T) in
    idle | mixed | allocated) return 0 ;;
    down* | drain*) scontrol update NodeName="$node" State=RESUME ;;
  esac
  return 1
}

start() {
  [ "$(id -u)" = 0 ] || fail "Slurm is started as root"
  install_packages
  alive slurmctld || write_configuration
  alive munged || munged --force --key-file="$home/munge.key" --socket="$run/munge.socket" --num-threads=2 \
    --pid-file="$run/munged.pid" --log-file="$home/log/munged.log" --seed-file="$home/munged.seed" 9>&-
  alive mariadbd || start_database
  if ! alive slurmdbd; then
    MYSQL_UNIX_PORT=$run/mysql.socket slurmdbd 9>&-
    wait_for 30 sacctmgr -n -i list cluster || fail "slurmdbd has not started; see $home/log/slurmdbd.log"
    sacctmgr -i -Q add cluster alchemist >/dev/null 2>&1 || true # it exists after the first start
  fi
  alive slurmctld || slurmctld -f "$SLURM_CONF" 9>&-
  alive slurmd || slurmd -f "$SLURM_CONF" -N "$node" 9>&-
  wait_for 30 node_is_up || fail "the node has not started; see $home/log"
  echo "export SLURM_CONF=$SLURM_CONF"
}

stop() {
  ! alive slurmctld || timeout 10 scancel -u root || true
  local name pid
  for name in "${daemons[@]}"; do
    if alive "$name"; then
      pid=$(cat "$run/$name.pid")
      kill "$pid"
      for _ in $(seq 100); do
        alive "$name" "$pid" || break # a daemon deletes its file of the pid before it ends
        sleep 0.1
      done
      ! alive "$name" "$pid" || kill -9 "$pid" || true
    fi
    rm -f "$run/$name.pid"
  done
}

status() {
  local name
  for name in "${daemons[@]}"; do
    if alive "$name"; then echo "$name runs"; else echo "$name does not run"; fi
  done
}

case ${1:-start} in
  start | stop | install)
    mkdir -p "$run" "$home/state" "$home/spool" "$home/log" "$home/mysql"
    exec 9>"$home/lock"
    flock -w 120 9 || fail "another start or stop has not ended"
    case ${1:-start} in install) install_packages ;; *) "${1:-start}" ;; esac
    ;;
  status) status ;;
  *) fail "usage: scripts/start_slurm.sh [start|stop|status|install]" ;;
esac
