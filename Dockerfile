# Targets: `feedvault`, all our programs (the default); `nats-server`, Debian's, for those who want it
# as the broker.
ARG DEBIAN_IMAGE=debian:bookworm-slim

# First, because a builder without BuildKit makes every stage up to the one it is asked for.
FROM ${DEBIAN_IMAGE} AS nats-server
COPY deploy/docker/http-ok.sh /usr/local/bin/http-ok
COPY deploy/docker/nats-server.sh /usr/local/bin/start-nats-server
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      nats-server && apt-get clean && rm -rf /var/lib/apt/lists/* \
    && chmod 755 /usr/local/bin/http-ok /usr/local/bin/start-nats-server \
    && mkdir /data && chown nats:nats /data
USER nats
VOLUME /data
EXPOSE 4222 8222
ENTRYPOINT ["start-nats-server"]
CMD ["-c", "/etc/feedvault/broker.conf"]
COPY deploy/docker/broker.conf /etc/feedvault/broker.conf

FROM ${DEBIAN_IMAGE} AS build
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      cmake ninja-build g++ pkg-config libnats-dev libspdlog-dev libprotobuf-dev libprotoc-dev \
      protobuf-compiler libtomlplusplus-dev libcli11-dev nlohmann-json3-dev prometheus-cpp-dev \
      libboost-dev default-libmysqlclient-dev libssl-dev zlib1g-dev binutils nodejs npm \
    && apt-get clean && rm -rf /var/lib/apt/lists/*
COPY . /src
WORKDIR /src
RUN cmake --preset release && cmake --build build/release \
    && DESTDIR=/out cmake --install build/release --prefix /usr/local --strip
# The packages that hold the shared libraries our programs are linked to.
RUN find /out/usr/local/bin -type f -exec ldd {} + | awk '$2 == "=>" && $3 ~ /^\// {print $3}' \
    | sort -u | xargs realpath | xargs -n 1 basename | sed 's|^|*/|' \
    | xargs dpkg-query -S | cut -d: -f1 | sort -u | tee /out/packages

FROM ${DEBIAN_IMAGE} AS feedvault
COPY --from=build /out/packages /tmp/packages
COPY deploy/docker/http-ok.sh /usr/local/bin/http-ok
# libmariadb3 carries the authentication plugins of MySQL 8 and 9.
RUN apt-get update && xargs -a /tmp/packages env DEBIAN_FRONTEND=noninteractive \
      apt-get install -y --no-install-recommends libmariadb3 bash \
    && apt-get clean && rm -rf /var/lib/apt/lists/* /tmp/packages \
    && chmod 755 /usr/local/bin/http-ok \
    && useradd --system --no-create-home --uid 10001 feedvault \
    && mkdir /data && chown feedvault /data
COPY --from=build /out/usr/local /usr/local
COPY config.toml /etc/feedvault/config.toml
COPY deploy/docker/broker.conf /etc/feedvault/broker.conf
COPY proto/*.proto /etc/feedvault/proto/
WORKDIR /etc/feedvault
USER feedvault
EXPOSE 4222 8222 8080 8081
CMD ["feedvault-controller", "--config", "/etc/feedvault/config.toml"]
