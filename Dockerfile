# docker build --target gateway -t satchel-gateway .
# docker build --target sidecar -t satchel-sidecar .
#
# Nothing here names an architecture: docker buildx build --platform linux/amd64,linux/arm64 … builds for both. For an image that is the same bit by bit whoever builds it:
# name both base images by their digests, and SOURCE_DATE_EPOCH (docs/containers.md).
ARG RUST_IMAGE=docker.io/library/rust:1-bookworm
# The same Debian without anything but its C library: no shell, no package manager.
ARG BASE_IMAGE=gcr.io/distroless/cc-debian12:nonroot

FROM ${RUST_IMAGE} AS build
RUN apt-get update && apt-get install -y --no-install-recommends cmake && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# What --version says beside the version.
ARG SATCHEL_COMMIT=""
# Paths of this machine are not in the programs.
ENV RUSTFLAGS="--remap-path-prefix=/src=/satchel --remap-path-prefix=/usr/local/cargo=/cargo"
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --locked -p gateway -p sidecar \
    && install -D -t /out/bin target/release/gateway target/release/sidecar \
    && install -d -m 1777 /out/tmp

FROM ${BASE_IMAGE} AS gateway
COPY --from=build /out/bin/gateway /usr/local/bin/
# proxy_temp_path
COPY --from=build --chmod=1777 /out/tmp /var/tmp
USER 10001:10001
# The status page's port is 8090: admin = "0.0.0.0:8090".
EXPOSE 8080 8090
HEALTHCHECK --interval=5s --timeout=5s --start-period=10s --retries=2 \
    CMD ["/usr/local/bin/gateway", "--config", "/etc/satchel/gateway.toml", "--health"]
ENTRYPOINT ["/usr/local/bin/gateway"]
CMD ["--config", "/etc/satchel/gateway.toml"]

FROM ${BASE_IMAGE} AS sidecar
COPY --from=build /out/bin/sidecar /usr/local/bin/
# client_body_temp_path
COPY --from=build --chmod=1777 /out/tmp /tmp
# The group is the one that Tomcat's container has too: it shares the store directory.
USER 10011:10010
EXPOSE 8081 8091
HEALTHCHECK --interval=5s --timeout=5s --start-period=10s --retries=2 \
    CMD ["/usr/local/bin/sidecar", "--config", "/etc/satchel/sidecar.toml", "--health"]
ENTRYPOINT ["/usr/local/bin/sidecar"]
CMD ["--config", "/etc/satchel/sidecar.toml"]
