#!/bin/sh
# Starts nats-server, but not on the streams of feedvault-broker: it would not see them, and begin
# with empty ones.
for stream in /data/jetstream/jetstream/streams/*/; do
  if [ -d "$stream" ]; then
    echo "nats-server: /data holds streams of feedvault-broker, which nats-server cannot read: go on" \
      "with that one, or change brokers with FEEDVAULT_BROKER=nats-server bash run.sh up" >&2
    exit 2
  fi
done
exec nats-server "$@"
