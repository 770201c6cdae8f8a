#!/usr/bin/env bash
# Measures; `bash run.sh bench` builds first and calls this. With no argument the pipeline.
#   bash run.sh bench [pipeline] [all|throughput|latency|backlog] [--messages N] [--backlog N]
#                        [--rate N] [--broker nats-server]
#   bash run.sh bench broker [--runs N] [--only TEXT] [--loops N]   beside nats-server
#   bash run.sh bench streams [--runs N] [--messages N] [--only TEXT]   beside nats-server, by nats.c
#   bash run.sh bench store DIR                                     the streams' log, in an empty folder
set -euo pipefail
: "${FEEDVAULT_BUILD_DIR:?bash run.sh bench sets it}"

what=${1:-pipeline}
case $what in
  pipeline)
    [[ $# -eq 0 ]] || shift
    exec "$FEEDVAULT_BUILD_DIR/bin/feedvault-bench" "$@"
    ;;
  -* | all | throughput | latency | backlog)
    exec "$FEEDVAULT_BUILD_DIR/bin/feedvault-bench" "$@"
    ;;
  broker | store)
    shift
    exec "$FEEDVAULT_BUILD_DIR/bin/${what}_bench" "$@"
    ;;
  streams)
    shift
    exec "$FEEDVAULT_BUILD_DIR/bin/jetstream_bench" "$@"
    ;;
  *)
    echo "bench: unknown benchmark '$what'; there are: pipeline, broker, streams, store" >&2
    exit 2
    ;;
esac
