# shellcheck shell=bash
# Sourced by the other scripts: makes the environment if need be, enters it, goes to the checkout's root.
# Its arguments (or what is left of the caller's) go to setup.sh. Sets `root`.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Another Spark or Python of the caller's would be used in place of the environment's own.
unset SPARK_HOME SPARK_CONF_DIR PYTHONPATH PYTHONHOME PYSPARK_PYTHON PYSPARK_DRIVER_PYTHON
# A host name that does not resolve, or that resolves to an address of a VPN, must not stop a local Spark or torchrun.
export SPARK_LOCAL_IP=${SPARK_LOCAL_IP:-127.0.0.1} PET_LOCAL_ADDR=${PET_LOCAL_ADDR:-127.0.0.1}

"$root/scripts/setup.sh" "$@"
case ${WIDEDEEP_VENV:-} in
  "") venv=$root/.venv ;;
  *) venv=$(cd "$WIDEDEEP_VENV" && pwd) ;;
esac
# shellcheck disable=SC1091
source "$venv/bin/activate"
cd "$root" || exit

# For short Spark jobs Java's second compiler costs a quarter of the time and gives nothing. Without it Java keeps 48 MB for
# its code by default; a job fills that, and then fails or stands still.
shorten_spark_jobs() {
  export SPARK_SUBMIT_OPTS="$SPARK_SUBMIT_OPTS -XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m"
}
