#!/usr/bin/env bash
# Makes the environment of this checkout: Java, Python, and a virtual environment with the package in it.
set -euo pipefail

usage() {
  cat <<'END'
Usage: scripts/setup.sh [--serve] [--dev]

Makes .venv with this package and all it needs, in the versions of requirements.lock; does
nothing where that is done already. Java 17 or 21 and Python 3.11 to 3.14 are looked for, and
installed with apt-get where that works without asking (as root, or with a sudo that wants no
password).

  --serve           also what scripts/serve.sh needs
  --dev             also the tools of scripts/test.sh, and Chromium by apt-get if there is none and that may be used
  WIDEDEEP_VENV     where the virtual environment goes (default: .venv in the checkout)
  WIDEDEEP_PYTHON   the Python to make it with (default: searched for)

pip's own settings (PIP_INDEX_URL, PIP_FIND_LINKS, pip.conf, ...) apply as always, and choose
the build of PyTorch. Where uv is there, it installs, with the same indexes, and pip where uv fails.
END
}

say() { echo "setup: $*" >&2; }

extra=base
for argument in "$@"; do
  case $argument in
    --serve) [ $extra = dev ] || extra=serve ;;
    --dev) extra=dev ;;
    -h | --help) usage; exit 0 ;;
    *) say "unknown argument: $argument"; usage >&2; exit 2 ;;
  esac
done

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=${WIDEDEEP_VENV:-$root/.venv}
case $venv in /*) ;; *) venv=$PWD/$venv ;; esac
unset PYTHONPATH PYTHONHOME # pip would take what they hold for installed
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# --- what the machine has ------------------------------------------------------------------------

# Prints the interpreter behind a Python (a virtual environment's own base), if it can make a
# virtual environment: Debian's python3 comes without ensurepip and would fail in the middle.
base_python() {
  "$1" -c 'if True:
    import ensurepip, sys, venv
    ensurepip.version()
    if (3, 11) <= sys.version_info[:2] <= (3, 14):
      print(getattr(sys, "_base_executable", sys.executable))' 2>/dev/null || true
}

find_python() {
  local candidate found
  for candidate in "$venv/bin/python" python3 python3.13 python3.12 python3.11 python3.14; do
    found=$(base_python "${WIDEDEEP_PYTHON:-$candidate}")
    if [ -n "$found" ]; then
      echo "$found"
      return
    fi
  done
}

# Prints the home of a java binary, if it is of a version that Spark is tested with.
java_home_of() {
  "$1" -XshowSettings:properties -version 2>&1 | awk -F ' = ' '
    $1 ~ /java\.home$/ { home = $2 }
    $1 ~ /java\.specification\.version$/ { version = $2 }
    END { if (version == 17 || version == 21) print home }' || true
}

find_java() {
  local binary home
  for binary in ${JAVA_HOME:+"$JAVA_HOME/bin/java"} java /usr/lib/jvm/*/bin/java \
    /Library/Java/JavaVirtualMachines/*/Contents/Home/bin/java \
    /opt/homebrew/opt/openjdk@*/bin/java /usr/local/opt/openjdk@*/bin/java \
    "${HOME:-}"/.sdkman/candidates/java/*/bin/java; do
    command -v "$binary" >/dev/null || continue
    home=$(java_home_of "$binary")
    if [ -n "$home" ]; then
      echo "$home"
      return
    fi
  done
}

# --- what apt can add ----------------------------------------------------------------------------

may_apt() { command -v apt-get >/dev/null && { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }; }

apt_get() {
  local as_root=""
  [ "$(id -u)" = 0 ] || as_root="sudo -n"
  # shellcheck disable=SC2086 # nothing or two words
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 "$@" >>"$log" 2>&1
}

# The version of a package that apt would install; nothing if there is none.
apt_version() { LC_ALL=C apt-cache policy "$1" | awk '$1 == "Candidate:" && $2 != "(none)" { print $2 }'; }

# Adds what is missing, as far as this release has it in a version that fits.
install_missing() {
  local packages="" version
  say "apt-get update"
  apt_get update || true # one unreachable source of many need not matter; the install tells
  if [ -z "$python" ]; then
    case $(apt_version python3) in 3.1[1234].*) packages="python3 python3-venv" ;; esac
  fi
  if [ -z "$java" ]; then
    for version in 17 21; do
      if [ -n "$(apt_version openjdk-$version-jre-headless)" ]; then
        packages="$packages openjdk-$version-jre-headless"
        break
      fi
    done
  fi
  [ -n "$packages" ] || return 0
  say "apt-get install $packages"
  # shellcheck disable=SC2086
  apt_get install --yes --no-install-recommends $packages || tail -n 20 "$log" >&2
}

explain_missing() {
  if [ -z "$python" ] && [ -n "${WIDEDEEP_PYTHON:-}" ]; then
    say "WIDEDEEP_PYTHON ($WIDEDEEP_PYTHON) is no Python 3.11 to 3.14 with venv"
  elif [ -z "$python" ]; then
    cat >&2 <<'END'
setup: there is no Python 3.11 to 3.14 with venv here. Install one, then run this again:
  Debian, Ubuntu   sudo apt-get install python3 python3-venv
  Fedora, RHEL     sudo dnf install python3.13
  macOS            brew install python@3.13
  Where the release has only others, take one from pyenv, uv or conda and name it in WIDEDEEP_PYTHON.
END
  fi
  if [ -z "$java" ]; then
    cat >&2 <<'END'
setup: there is no Java 17 or 21 here. Install one, then run this again:
  Debian, Ubuntu   sudo apt-get install openjdk-17-jre-headless   (or openjdk-21-jre-headless)
  Fedora, RHEL     sudo dnf install java-21-openjdk-headless
  macOS            brew install openjdk@17
  One in an unusual place is found through JAVA_HOME.
END
  fi
}

python=$(find_python)
java=$(find_java)
if { [ -z "$python" ] || [ -z "$java" ]; } && may_apt; then
  install_missing
  python=$(find_python)
  java=$(find_java)
fi
if [ -z "$python" ] || [ -z "$java" ]; then
  explain_missing
  exit 2
fi
say "Java in $java"
# Without a browser the tests of pages are skipped.
if [ $extra = dev ] && ! command -v chromium >/dev/null && may_apt; then
  say "apt-get install chromium"
  { apt_get update && apt_get install --yes --no-install-recommends chromium; } || say "there is no Chromium to be had"
fi

# --- the virtual environment ---------------------------------------------------------------------

stamp=$venv/.widedeep-stamp           # what is installed; written last
installing=$venv/.widedeep-installing # there while an install runs, and after one that was killed
lock=$venv/.widedeep-lock

if [ -n "$(ls -A "$venv" 2>/dev/null)" ] && [ ! -e "$venv/pyvenv.cfg" ] && [ ! -e "$lock" ]; then
  say "$venv holds files but is no virtual environment: remove it or choose another WIDEDEEP_VENV"
  exit 2
fi
mkdir -p "$venv"
# The lock belongs to descriptor 9 and lasts until this script ends; macOS has no flock(1).
exec 9>"$lock"
"$python" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX)'

# What the stamp must say. --dev stays once it was asked for, and --serve beside it.
case $extra\ $(cat "$stamp" 2>/dev/null) in *\ dev\ *) extra=dev ;; base\ serve\ *) extra=serve ;; esac
wanted() { echo "$extra $(cat "$root"/pyproject.toml "$root"/requirements*.lock | cksum) $("$venv/bin/python" -V 2>&1) $root $venv"; }

# Whether packages can be added to what is there; not if it was moved or is half made, or if it is of the release that
# had a torchrun of its own, which would take torch's away with it.
usable() {
  ! grep -qsF "widedeep.launch" "$venv/bin/torchrun" &&
    [ ! -e "$installing" ] && [ -n "$(base_python "$venv/bin/python")" ] &&
    grep -qsF "$venv" "$venv/bin/activate" && "$venv/bin/python" -m pip --version >/dev/null 2>&1
}

# Prints one of pip's settings, from its files or the environment.
pip_setting() {
  "$venv/bin/python" -m pip config list 2>/dev/null | sed -nE "s/^[a-z:]+\.$1='(.*)'\$/\1/p" | head -n 1
}

# Hands pip's settings to uv, which does not read them. Of several indexes uv would take the first that has a package.
configure_uv() {
  local value
  value=$(pip_setting index-url) && [ -z "$value" ] || export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$value}"
  value=$(pip_setting extra-index-url) && [ -z "$value" ] || export UV_INDEX="${UV_INDEX:-$value}"
  value=$(pip_setting find-links) && [ -z "$value" ] || export UV_FIND_LINKS="${UV_FIND_LINKS:-${value// /,}}"
  value=$(pip_setting constraint) && [ -z "$value" ] || export UV_CONSTRAINT="${UV_CONSTRAINT:-$value}"
  value=$(pip_setting cert) && [ -z "$value" ] || export SSL_CERT_FILE="${SSL_CERT_FILE:-$value}"
  export UV_INDEX_STRATEGY=${UV_INDEX_STRATEGY:-unsafe-best-match}
}

# install ARGUMENT...: what `pip install` does, by uv if it is there and works.
install() {
  { command -v uv && uv pip install --quiet --python "$venv/bin/python" "$@"; } >>"$log" 2>&1 ||
    "$venv/bin/python" -m pip install --quiet "$@" >>"$log" 2>&1
}

install_all() {
  if command -v uv >/dev/null; then configure_uv; fi
  install --require-hashes --no-deps -r "$root/requirements.lock" &&
    install -r "$root/requirements-torch.lock" &&
    if [ $extra = base ]; then install --no-deps -e "$root"; else install -e "${root}[$extra]"; fi
}

if [ "$(cat "$stamp" 2>/dev/null)" = "$(wanted)" ]; then
  say "$venv is up to date"
else
  rm -f "$stamp"
  if ! usable; then
    say "making $venv with $("$python" -V) ($python)"
    find "$venv" -mindepth 1 -maxdepth 1 ! -name "${lock##*/}" -exec rm -rf {} +
    touch "$installing"
    "$python" -m venv "$venv" >>"$log" 2>&1 || { tail -n 20 "$log" >&2; exit 1; }
  fi
  touch "$installing"
  say "installing packages (minutes at first)"
  code=0
  install_all || code=$?
  [ $code -gt 128 ] || rm -f "$installing" # pip undoes what it cannot finish, unless a signal ends it
  if [ $code != 0 ]; then
    tail -n 30 "$log" >&2
    say "installing failed; above is the end of what was said"
    exit 1
  fi
  wanted >"$stamp"
fi

# --- Java's archive of Spark's classes -----------------------------------------------------------

# A Spark job spends seconds on loading classes. Java keeps them in an archive, and does without it if it is another
# Java or another Spark that starts.
archive=$venv/spark-classes.jsa
archived="$(cat "$stamp") $java $("$java/bin/java" -version 2>&1 | cksum)"

archive_classes() {
  local made=$archive.new
  rm -f "$archive" "$archive.stamp" "$made"
  say "archiving the classes of Spark (half a minute)"
  export JAVA_HOME=$java PYSPARK_PYTHON=$venv/bin/python PATH=$venv/bin:$PATH SPARK_LOCAL_IP=127.0.0.1
  SPARK_SUBMIT_OPTS="-XX:TieredStopAtLevel=1 '-XX:ArchiveClassesAtExit=$made'" \
    spark-submit "$root/scripts/spark_classes.py" >>"$log" 2>&1 &&
    # Java dies of an archive that is cut off.
    SPARK_SUBMIT_OPTS="'-XX:SharedArchiveFile=$made'" spark-submit --version >>"$log" 2>&1 &&
    mv "$made" "$archive"
}

# Where there can be none, this is not tried again each time.
if [ "$(cat "$archive.stamp" 2>/dev/null)" != "$archived" ]; then
  (archive_classes) || say "there is no archive, so Spark starts slower; to try again, remove $archive.stamp"
  echo "$archived" >"$archive.stamp"
fi

# --- what entering the environment sets ----------------------------------------------------------

# Spark starts the Java of JAVA_HOME, or else of the PATH; either may be one it cannot run on. Spark fails, and torchrun
# waits for minutes, if this machine's name does not resolve. The collector that stops all threads lets a job end a tenth
# sooner than the one that works beside them, of which no job here needs the short pauses.
mark="# by scripts/setup.sh"
added=$(
  printf 'export JAVA_HOME=%q %s\n' "$java" "$mark"
  # shellcheck disable=SC2016 # to be expanded when the environment is entered
  printf 'export SPARK_SUBMIT_OPTS="${SPARK_SUBMIT_OPTS:--XX:SharedArchiveFile=%q %s}" %s\n' \
    "$archive" "-Xlog:cds*=error -XX:+UseParallelGC" "$mark"
  # shellcheck disable=SC2016
  printf '%s %s\n' \
    '! command -v getent >/dev/null || getent hosts "$(uname -n)" >/dev/null ||' "$mark" \
    '  export SPARK_LOCAL_IP=${SPARK_LOCAL_IP:-127.0.0.1} PET_LOCAL_ADDR=${PET_LOCAL_ADDR:-127.0.0.1}' "$mark"
)
if [ "$(grep "$mark\$" "$venv/bin/activate")" != "$added" ]; then
  { grep -v "$mark\$" "$venv/bin/activate"; echo "$added"; } >"$venv/bin/activate.new"
  mv "$venv/bin/activate.new" "$venv/bin/activate"
fi
say "done in $SECONDS s; to use it: source $(printf %q "$venv")/bin/activate"
