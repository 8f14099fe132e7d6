#!/usr/bin/env bash
# What a pod runs. Spark starts its pods with `driver` or `executor`, and says all else by variables; anything else is a
# command, such as `widedeep train`.
set -euo pipefail

case ${1:-} in
  driver)
    shift
    exec spark-submit --conf "spark.driver.bindAddress=$SPARK_DRIVER_BIND_ADDRESS" --deploy-mode client "$@"
    ;;
  executor)
    options=() number=0 name=SPARK_JAVA_OPT_0 # and SPARK_JAVA_OPT_1, …
    while [ -n "${!name:-}" ]; do
      options+=("${!name}")
      number=$((number + 1))
      name=SPARK_JAVA_OPT_$number
    done
    spark=$(python -c 'import pathlib, pyspark; print(pathlib.Path(pyspark.__file__).parent)')
    exec java "${options[@]}" "-Xms$SPARK_EXECUTOR_MEMORY" "-Xmx$SPARK_EXECUTOR_MEMORY" -cp "$spark/jars/*" \
      org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend \
      --driver-url "$SPARK_DRIVER_URL" --executor-id "$SPARK_EXECUTOR_ID" --cores "$SPARK_EXECUTOR_CORES" \
      --app-id "$SPARK_APPLICATION_ID" --hostname "$SPARK_EXECUTOR_POD_IP" \
      --resourceProfileId "$SPARK_RESOURCE_PROFILE_ID" --podName "$SPARK_EXECUTOR_POD_NAME"
    ;;
  *) exec "$@" ;;
esac
