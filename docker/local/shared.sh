# What docker/local/kafka and docker/local/cql have in common: processes told apart for good, one installation for many
# clusters, and the watchdog. Sourced by them, which set `name` (of the script), `prefix` (of its variables), `self` (its
# path), `home`, `dir` and `java`, and have the function `clean`. Linux only.
# shellcheck shell=bash

die() { echo "docker/local/$name: $*" >&2; exit 1; }
absolute() { case $1 in /*) echo "$1" ;; *) echo "$PWD/$1" ;; esac; }
number() { # VARIABLE VALUE MIN MAX
  if [[ ! $2 =~ ^[1-9][0-9]{0,8}$ ]] || (($2 < $3 || $2 > $4)); then die "$1 is $2: give a whole number from $3 to $4"; fi
}
now_ms() { local t=${EPOCHREALTIME:-$(date +%s).000000}; t=${t/,/.}; echo $((${t/./} / 1000)); }

# The lines at the top of the script, up to its first command.
help() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "$self"; }

# What goes into configuration files by sed, and into options with lists of their own.
check_paths() {
  case $home$dir in *[\|\&\,\\]*) die "${prefix}_HOME or ${prefix}_DIR has one of | & , \\ in its path: use another" ;; esac
}

# Whether the process lives and WORD is one of its arguments. A pid file may outlive its process; a zombie has no arguments,
# and for a moment neither has what is just being executed.
has_argument() { # PID WORD
  local word try; local -a words=()
  for ((try = 0; try < 20; try++)); do
    { mapfile -d '' -t words < "/proc/$1/cmdline"; } 2> /dev/null || return 1
    [ ${#words[@]} -eq 0 ] && born "$1" > /dev/null || break
    sleep 0.01
  done
  for word in ${words[@]+"${words[@]}"}; do [ "$word" != "$2" ] || return 0; done
  return 1
}

# When a process started, in ticks since boot, which with its pid names it for good. Fails for one that is gone or a zombie.
born() { # PID
  local stat; local -a field
  { read -r stat < "/proc/$1/stat"; } 2> /dev/null || return 1
  read -r -a field <<< "${stat##*) }"
  case ${field[0]} in Z | X) return 1 ;; *) echo "${field[19]}" ;; esac
}

# Every thread: SIGSTOP reaches them one by one, and those that it has not reached still answer.
is_stalled() { # PID
  local file stat
  for file in "/proc/$1/task/"*/stat; do
    # One that has ended meanwhile does not answer.
    { read -r stat < "$file"; } 2> /dev/null || continue
    [[ ${stat##*) } == T* ]] || return 1
  done
  [ -e "/proc/$1" ]
}

# SIGSTOP, and until nothing of it runs.
stall_process() { # PID WHAT
  local end=$(($(now_ms) + 10000))
  kill -STOP "$1"
  until is_stalled "$1"; do
    [ "$(now_ms)" -lt "$end" ] || die "$2 has not come to a stop for 10 s"
    sleep 0.01
  done
}

answers_tcp() ( exec 9<> "/dev/tcp/127.0.0.1/$1" ) 2> /dev/null

need_java() {
  local remedy='on Debian or Ubuntu: apt install openjdk-17-jre-headless (or openjdk-21-jre-headless)' version
  command -v "$java" > /dev/null || die "Java 17 or newer is missing ($java); $remedy"
  version=$("$java" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p')
  ((${version:-0} >= 17)) || die "Java 17 or newer is needed, and $java is ${version:-of an unknown version}; $remedy"
}

need_installer() {
  need_java
  command -v mvn > /dev/null || die 'Maven is missing; on Debian or Ubuntu: apt install maven'
  command -v flock > /dev/null || die 'flock is missing; on Debian or Ubuntu: apt install util-linux'
}

# Holds fd 9, for one process at a time, until it is closed.
lock_home() {
  mkdir -p "$home"
  exec 9> "$home/install.lock"
  flock -w 900 9 || die "another process has been installing into $home for 15 minutes: end it and try again"
}

# Copies the jars that a pom names, and what they need, into a folder.
fetch_jars() { # POM FOLDER LOG WHAT
  mvn -q -B -f "$1" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$2" > "$3" 2>&1 9>&- \
    || { cat "$3" >&2; die "Maven could not fetch $4, see above"; }
}

# Holds fd 8 until it is closed. The watchdog takes the same lock, so that nothing is launched behind its back.
lock_dir() {
  exec 8< "$dir"
  flock -w 60 8 || die "another start in $dir has not ended for a minute"
}

check_owner() { # OWNER
  [ -z "$1" ] || born "$1" > /dev/null || die "--owner $1: there is no such process"
}

# Starts the watchdog, in a session of its own, so that what ends the owner's (an interrupt from the terminal) spares it.
guard() { # OWNER
  local since pid
  # One that has just gone is one whose cluster is to go.
  since=$(born "$1") || since=gone
  if pid=$(cat "$dir/watchdog" 2> /dev/null) && has_argument "$pid" "$dir"; then
    ! has_argument "$pid" "$1:$since" || return 0
    kill "$pid"
  fi
  env "${prefix}_HOME=$home" "${prefix}_DIR=$dir" setsid bash "$self" watchdog "$1:$since" "$dir" \
    < /dev/null > /dev/null 2>&1 8>&- 9>&- &
  echo $! > "$dir/watchdog"
}

watchdog() { # OWNER:SINCE
  local mine
  while [ "$(born "${1%:*}")" = "${1#*:}" ]; do
    sleep 0.5
    # Cleaned, or another watchdog's by now.
    [ -d "$dir" ] || exit 0
    { read -r mine < "$dir/watchdog"; } 2> /dev/null || continue
    [ "$mine" = $$ ] || exit 0
  done
  exec 8< "$dir"
  flock 8
  clean
}

end_watchdog() {
  local pid
  if pid=$(cat "$dir/watchdog" 2> /dev/null) && [ "$pid" != $$ ] && has_argument "$pid" "$dir"; then kill "$pid"; fi
}
