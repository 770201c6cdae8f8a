#!/usr/bin/env bash
# Measures; `bash run.sh bench` builds first and calls this. With no argument the pipeline.
#   bash run.sh bench [pipeline] [all|throughput|latency|backlog] [--messages N] [--backlog N]
#                        [--rate N] [--broker nats-server] [--slow-sync US]
#   bash run.sh bench broker [--runs N] [--only TEXT] [--loops N]   beside nats-server
#   bash run.sh bench streams [--runs N] [--messages N] [--only TEXT]   beside nats-server, by nats.c
#   bash run.sh bench store DIR                                     the streams' log, in an empty folder
#   bash run.sh bench subscribers [all|live|history] [--readers N] [--rows N] [--quick]   beside nginx
set -euo pipefail
: "${FEEDVAULT_BUILD_DIR:?bash run.sh bench sets it}"

# Debian's nginx and its echo module, unpacked beside the build and not installed: no service of that
# name comes to this machine. Its folder; nothing where the packages cannot be had.
unpacked_nginx() {
  local folder=$FEEDVAULT_BUILD_DIR/nginx package
  if [[ ! -x $folder/usr/sbin/nginx ]]; then
    mkdir -p "$folder"
    if ! (cd "$folder" && apt-get download nginx libnginx-mod-http-echo) >&2; then
      echo "bench: no nginx to compare with: apt-get cannot download it, see above" >&2
      return
    fi
    for package in "$folder"/*.deb; do dpkg-deb --extract "$package" "$folder"; done
  fi
  echo "$folder"
}

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
  subscribers)
    shift
    nginx=$(unpacked_nginx)
    exec "$FEEDVAULT_BUILD_DIR/bin/subscribers_bench" "$@" ${nginx:+--nginx "$nginx"}
    ;;
  *)
    echo "bench: unknown benchmark '$what'; there are: pipeline, broker, streams, store, subscribers" >&2
    exit 2
    ;;
esac
